"""The faces of one file, cut out at the template that a model needs: from a crop, or from a photo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.manifest import Crop
from cosface_cli.engines.photos.reader import DetectedFaces, Face, Reader, sharpness
from cosface_cli.engines.photos.warp import crop_face, recrop
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import Template, are_degenerate

Pixels = NDArray[np.uint8]
Landmarks = tuple[tuple[float, float], ...]
"""Five points (x, y), in pixels."""
FaceInfo = tuple[tuple[float, float, float, float], float, float]
"""Box (left, top, right, bottom in pixels), detection score and sharpness of a face."""


@dataclass(frozen=True, slots=True)
class CutFaces:
    """The faces of a file, cut out at one template."""

    detected: int
    """Faces that the detector reported; fewer of them may be cut out."""
    faces: tuple[FaceInfo, ...]
    """What is known of each face that was cut out."""
    crops: list[Pixels]
    """The crop of each of these faces."""


class DecodedFile(Protocol):
    """A file that was decoded, with its faces found."""

    def cut(self, need: Template) -> CutFaces:
        """Its faces at a template. Raises PhotoError if none of them is usable."""
        ...


@dataclass(frozen=True, slots=True)
class CropFile:
    """A file of a crop folder."""

    pixels: Pixels
    crop: Crop

    def cut(self, need: Template) -> CutFaces:
        image = recrop(self.pixels, self.crop.template, need, self.crop.landmarks)
        record, have = self.crop.record, self.crop.template
        if record is None:
            box = (0.0, 0.0, float(have.width), float(have.height))
            return CutFaces(1, ((box, 0.0, round(sharpness(image), 1)),), [image])
        return CutFaces(1, ((record.box, record.score, float(record.quality.get("sharpness", 0.0))),), [image])


@dataclass(frozen=True, slots=True)
class PhotoWithLandmarks:
    """A photo whose face was given by its landmarks."""

    photo: Pixels
    landmarks: NDArray[np.float64]
    """(5, 2), in pixels."""

    def cut(self, need: Template) -> CutFaces:
        crop = crop_face(self.photo, self.landmarks, need)
        box = rounded_box((*self.landmarks.min(axis=0), *self.landmarks.max(axis=0)))
        return CutFaces(1, ((box, 0.0, sharpness(crop)),), [crop])


@dataclass(frozen=True, slots=True)
class PhotoWithFaces:
    """A photo whose faces were detected."""

    reader: Reader
    detected: DetectedFaces

    def cut(self, need: Template) -> CutFaces:
        faces = self.reader.cut(self.detected, need)
        return CutFaces(self.detected.found, tuple(_info(face) for face in faces), [face.crop for face in faces])


def rounded_box(box: Iterable[float]) -> tuple[float, float, float, float]:
    """A box (left, top, right, bottom), rounded to hundredths of a pixel."""
    left, top, right, bottom = (round(float(side), 2) for side in box)
    return left, top, right, bottom


def crop_of(content: bytes, crop: Crop, need: Template) -> Pixels:
    """The content of a crop file as a crop of template `need`. Raises PhotoError if its size is not as declared."""
    return recrop(crop_pixels(content, crop), crop.template, need, crop.landmarks)


def crop_pixels(content: bytes, crop: Crop) -> Pixels:
    """The content of a crop file, decoded. Raises PhotoError if its size is not that of its template."""
    image = pictures.decode(content, crop.path).image
    have = crop.template
    if image.shape[:2] != (have.height, have.width):
        words = f"{image.shape[1]}x{image.shape[0]} pixels, not the {have.width}x{have.height} of {have.name!r}"
        raise PhotoError("wrong_size", words, crop.path)
    return image


def usable_landmarks(landmarks: Landmarks, path: str) -> NDArray[np.float64]:
    """Landmarks as an array (5, 2). Raises PhotoError if they coincide or lie on a line."""
    points = np.array(landmarks, np.float64)
    if are_degenerate(points):
        raise PhotoError("bad_landmarks", "the landmarks of the face coincide or lie on a line", path)
    return points


def _info(face: Face) -> FaceInfo:
    return rounded_box(face.box), round(face.score, 5), face.quality["sharpness"]
