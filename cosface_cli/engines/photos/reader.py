"""From a photo file to its faces: decoded once, detected, chosen, cut out at a template."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import get_args

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.artifacts import pictures
from cosface_cli.engines.detectors import Detections, Detector, Faces
from cosface_cli.engines.detectors.rotation import ROTATIONS, rotate, rotate_back
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.warp import crop_face, needed_scale
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import Template, are_degenerate
from cosface_cli.maths.pose import roll, yaw

CHOICES: tuple[Faces, ...] = get_args(Faces)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """box: (4,) left, top, right, bottom; landmarks: (5, 2); both in upright pixels of the photo. crop: RGB uint8 of
    the reader's template. quality: face_px, the box's longer side; sharpness, the variance of the crop's Laplacian,
    comparable within one template; yaw and roll in degrees, see maths.pose. rotation: degrees clockwise by which the
    photo was turned to find the face, 0 unless rotations were tried."""

    box: NDArray[np.float64]
    landmarks: NDArray[np.float64]
    score: float
    crop: NDArray[np.uint8]
    quality: Mapping[str, float]
    rotation: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class FacesOfPhoto:
    """size: bytes of the file; mtime_ns: nanoseconds; hash: SHA-256 of its content; found: faces that the detector
    reported (unless all are wanted, those that could have been the chosen one)."""

    size: int
    mtime_ns: int
    hash: str
    found: int
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What was seen in a photo, before anything is cut out. photo: as decoded for the detector; found: as in
    FacesOfPhoto; boxes, landmarks and scores: of the chosen faces, in upright pixels of the photo."""

    content: bytes
    path: str | os.PathLike[str]
    photo: pictures.Photo
    rotation: int
    found: int
    boxes: tuple[NDArray[np.float64], ...]
    landmarks: tuple[NDArray[np.float64], ...]
    scores: tuple[float, ...]


class Reader:
    """Reads photos with one detector for one template.

    try_rotations: where the limits leave no face in the photo as it is, look at it turned by 90, 180 and 270 degrees,
    and take the turn with the best score.
    """

    def __init__(
        self,
        detector: Detector,
        template: Template,
        choice: Faces = "largest",
        limits: Limits | None = None,
        try_rotations: bool = False,
    ) -> None:
        self.detector = detector
        self.template = template
        self.choice = choice
        self.limits = limits or Limits()
        self.try_rotations = try_rotations

    def read(self, path: str | os.PathLike[str]) -> FacesOfPhoto:
        """The chosen faces of a photo file. Raises PhotoError when it cannot be read or has no usable face."""
        content = pictures.read(path)
        status = os.stat(path)  # noqa: PTH116
        digest = hashlib.sha256(content).hexdigest()
        found, faces = self.faces(content, path)
        return FacesOfPhoto(status.st_size, status.st_mtime_ns, digest, found, faces)

    def faces(self, content: bytes, path: str | os.PathLike[str]) -> tuple[int, tuple[Face, ...]]:
        """How many faces were found in the content of a photo file, and the chosen ones."""
        sight = self.see(content, path)
        return sight.found, self.cut(sight, self.template)

    def see(self, content: bytes, path: str | os.PathLike[str]) -> Sight:
        """The chosen faces in the content of a photo file, to be cut out at one template or several. Raises PhotoError
        when it cannot be decoded or has no usable face."""
        photo = pictures.decode(content, path, self.detector.long_side, self.limits.max_megapixels)
        rotation, found, usable = self._look(photo, path)
        boxes = np.asarray(found.boxes, np.float64) / photo.scale  # (N, 4)
        kept = self._choose(usable, boxes, photo.width, photo.height)
        landmarks = [_rescaled(found.landmarks[i], 1 / photo.scale) for i in kept]
        kept_landmarks = [(i, points) for i, points in zip(kept, landmarks, strict=True) if not are_degenerate(points)]
        if not kept_landmarks:
            raise PhotoError("bad_landmarks", "the landmarks of the face coincide or lie on a line", path)
        own_boxes, scores = zip(*((boxes[i], float(found.scores[i])) for i, _ in kept_landmarks), strict=True)
        own_landmarks = tuple(points for _, points in kept_landmarks)
        return Sight(content, path, photo, rotation, len(found), own_boxes, own_landmarks, scores)

    def cut(self, sight: Sight, template: Template) -> tuple[Face, ...]:
        """The faces of a photo at a template. Raises PhotoError where all are blurred or turned away."""
        photo, path = sight.photo, sight.path
        enough = max(needed_scale(points, template) for points in sight.landmarks)
        if photo.scale < min(1.0, enough):  # decoded too small for the crop: once more, larger
            side = int(np.ceil(max(photo.width, photo.height) * min(1.0, enough)))
            photo = pictures.decode(sight.content, path, side, self.limits.max_megapixels)
        faces = []
        refused: PhotoError | None = None
        for box, points, score in zip(sight.boxes, sight.landmarks, sight.scores, strict=True):
            crop = crop_face(photo.image, _rescaled(points, photo.scale), template)
            quality = {
                "face_px": _longer(box),
                "sharpness": sharpness(crop),
                "yaw": yaw(points),
                "roll": roll(points),
            }
            problem = self._refusal(quality, path)
            if problem is None:
                rounded = {name: round(value, 1) for name, value in quality.items()}
                faces.append(Face(box, points, score, crop, rounded, sight.rotation))
            refused = refused or problem
        if refused is not None and not faces:
            raise refused
        return tuple(faces)

    def _look(self, photo: pictures.Photo, path: str | os.PathLike[str]) -> tuple[int, Detections, list[int]]:
        """By what the photo was turned, what was found, in its pixels as it was, and which of it the limits leave."""
        found = self.detector.detect([photo.image], self.choice)[0]
        try:
            return 0, found, self._usable(found, photo.scale, path)
        except PhotoError:
            height, width = photo.image.shape[:2]
            best: tuple[int, Detections, list[int]] | None = None
            most = -1.0
            for degrees in ROTATIONS if self.try_rotations else ():
                image = rotate(photo.image, degrees)
                found = rotate_back(self.detector.detect([image], self.choice)[0], degrees, width, height)
                with suppress(PhotoError):
                    usable = self._usable(found, photo.scale, path)
                    score = float(found.scores[usable].max())
                    if score > most:
                        best, most = (degrees, found, usable), score
            if best is None:
                raise
            return best

    def _refusal(self, quality: Mapping[str, float], path: str | os.PathLike[str]) -> PhotoError | None:
        """Why a chosen face is refused."""
        limits = self.limits
        if quality["sharpness"] < limits.min_sharpness:
            words = (
                f"the sharpness of the crop is {quality['sharpness']:.1f}, below the limit of {limits.min_sharpness:g}"
            )
            return PhotoError("blurred", words, path, "lower --min-sharpness")
        if abs(quality["yaw"]) > limits.max_yaw:
            words = f"the face is turned by {abs(quality['yaw']):.1f} degrees, above the limit of {limits.max_yaw:g}"
            return PhotoError("turned_away", words, path, "raise --max-yaw")
        return None

    def _usable(self, found: Detections, scale: float, path: str | os.PathLike[str]) -> list[int]:
        """Indices of the faces that are large and sure enough. Raises PhotoError where there are none."""
        boxes, scores = np.asarray(found.boxes, np.float64) / scale, found.scores
        if not len(boxes):
            raise PhotoError("no_face", "no face was found", path)
        large = np.array([_longer(box) >= self.limits.min_face for box in boxes])
        sure = np.asarray(scores) >= self.limits.min_score
        if not large.any():
            most = max(_longer(box) for box in boxes)
            words = f"the largest face has {most:.0f} pixels, below the limit of {self.limits.min_face:g}"
            raise PhotoError("too_small", words, path, "lower --min-face")
        if not (large & sure).any():
            words = f"no face scores {self.limits.min_score:g} or more"
            raise PhotoError("low_score", words, path, "lower --min-score")
        return [int(i) for i in np.flatnonzero(large & sure)]

    def _choose(self, usable: list[int], boxes: NDArray[np.float64], width: int, height: int) -> list[int]:
        """Indices of the chosen faces: all from left to right, or one."""
        if self.choice == "all":
            return sorted(usable, key=lambda i: (boxes[i][0], boxes[i][1]))
        size = np.array([width, height])
        if self.choice == "center":
            return [min(usable, key=lambda i: _off_center(boxes[i], size))]
        return [max(usable, key=lambda i: _visible_area(boxes[i], size))]


def _visible_area(box: NDArray[np.float64], size: NDArray[np.int64]) -> float:
    """Of the part of a box that lies in a picture of that size."""
    return float(np.prod(np.maximum(np.minimum(box[2:], size) - np.maximum(box[:2], 0), 0)))


def _off_center(box: NDArray[np.float64], size: NDArray[np.int64]) -> tuple[bool, float]:
    """Order of centrality: first faces that show the central pixel, as LFW defines its subject (Huang 2007)."""
    middle = size / 2
    outside = not ((box[:2] <= middle) & (middle <= box[2:])).all()
    return outside, float(np.hypot(*((box[:2] + box[2:]) / 2 - middle)))


def sharpness(crop: NDArray[np.uint8]) -> float:
    """The variance of the Laplacian of the grey crop: low for a blurred face, grey levels squared."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


def _rescaled(points: ArrayLike, scale: ArrayLike) -> NDArray[np.float64]:
    """Landmarks (5, 2) in a picture of another scale; they count from the centre of the first pixel."""
    return (np.asarray(points, np.float64) + 0.5) * np.asarray(scale, np.float64) - 0.5


def _longer(box: NDArray[np.float64]) -> float:
    return float(max(box[2] - box[0], box[3] - box[1]))
