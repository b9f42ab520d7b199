"""Pixels from one geometry to another: a face out of a photo, a crop of one template into another's."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import Array, Template, apply, covers, growth, invert, similarity

Pixels = NDArray[np.uint8]


def crop_face(image: Pixels, landmarks: ArrayLike, template: Template) -> Pixels:
    """The face with landmarks (5, 2) in an RGB picture, warped so that they lie on the template's; outside is black."""
    return _warp(image, similarity(landmarks, template.landmarks), template)


def needed_scale(landmarks: ArrayLike, template: Template) -> float:
    """Crop pixels per photo pixel: below 1 the crop shrinks the face, so that a smaller decode would do."""
    return growth(similarity(landmarks, template.landmarks))


def recrop(crop: Pixels, have: Template, need: Template, landmarks: ArrayLike | None = None) -> Pixels:
    """A crop of template `have` as one of template `need`.

    landmarks: the face's own (5, 2) in pixels of the crop; then the result equals aligning from the photo. Without,
    the template's points stand for them. Identity when the templates are equal, a whole-pixel cut where they
    only differ by a shift, one resampling else.
    """
    if have == need:
        return crop
    shift = need.landmarks - have.landmarks
    offset = -shift[0].round().astype(int)
    if np.abs(shift + offset).max() < 1e-3:
        x, y = (int(v) for v in offset)
        if x >= 0 and y >= 0 and x + need.width <= have.width and y + need.height <= have.height:
            return np.ascontiguousarray(crop[y : y + need.height, x : x + need.width])
    points = have.landmarks if landmarks is None else np.asarray(landmarks, dtype=np.float64)
    return _warp(crop, similarity(points, need.landmarks), need)


def require_cover(have: Template, need: Template, path: object) -> None:
    """Raises CosfaceError where crops of template `have` do not show what a network of template `need` must see."""
    if not covers(have, need):
        raise CosfaceError(
            f"crops of template {have.name!r} do not show all that a network of template {need.name!r} needs",
            str(path),
            f"align again with --template wide or --template {need.name}",
        )


def _warp(image: Pixels, matrix: Array, template: Template) -> Pixels:
    shrink = int(1 / growth(matrix))
    if shrink >= 2:  # bilinear sampling would skip pixels: average them first, over the face's part of the picture
        image, matrix = _shrunk(image, matrix, template, shrink)
    size = (template.width, template.height)
    return np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0)))


def _shrunk(image: Pixels, matrix: Array, template: Template, shrink: int) -> tuple[Pixels, Array]:
    """The part of the picture that the template shows, shrunk by a whole factor, and the matrix for it."""
    corners = np.array([(0, 0), (template.width, 0), (0, template.height), (template.width, template.height)])
    visible = apply(invert(matrix), corners)
    low = np.maximum(np.floor(visible.min(axis=0) / shrink - 2).astype(int) * shrink, 0)
    high = np.minimum(np.ceil(visible.max(axis=0)).astype(int) + 2 * shrink, image.shape[1::-1])
    part = image[low[1] : high[1], low[0] : high[0]]
    if 0 in part.shape:
        return image, matrix
    size = (max(1, part.shape[1] // shrink), max(1, part.shape[0] // shrink))
    part = part[: size[1] * shrink, : size[0] * shrink]
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    # pixel centres: x_photo = low + shrink * x_small + (shrink - 1) / 2
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ (low + (shrink - 1) / 2)
    moved[:, :2] *= shrink
    return small, moved
