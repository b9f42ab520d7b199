"""From a photo file to its faces: decode once, detect, choose, cut out at one template or several."""

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Face:
    """A face of a photo, cut out. Coordinates are pixels of the upright photo."""

    box: NDArray[np.float64]
    """(4,): left, top, right, bottom."""
    landmarks: NDArray[np.float64]
    """(5, 2)."""
    score: float
    """Of the detector, 0..1."""
    crop: NDArray[np.uint8]
    """RGB, of the template asked for."""
    quality: Mapping[str, float]
    """face_px: longer side of the box; sharpness: variance of the crop's Laplacian, comparable within one template;
    yaw and roll: degrees, see maths.pose."""
    rotation: int = 0
    """Degrees by which the photo was rotated clockwise to find the face; 0 unless rotations were tried."""


@dataclass(frozen=True, slots=True, eq=False)
class FacesOfPhoto:
    """The chosen faces of a photo file."""

    size: int
    """Bytes of the file."""
    mtime_ns: int
    hash: str
    """SHA-256 of its content."""
    found: int
    """Faces that the detector reported; unless all are wanted, those that could have been the chosen one."""
    faces: tuple[Face, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectedFaces:
    """The chosen faces of a photo before they are cut out. Coordinates are pixels of the upright photo."""

    content: bytes
    """The photo file."""
    path: str | os.PathLike[str]
    photo: pictures.Photo
    """As decoded for the detector."""
    rotation: int
    """See Face."""
    found: int
    """See FacesOfPhoto."""
    boxes: tuple[NDArray[np.float64], ...]
    landmarks: tuple[NDArray[np.float64], ...]
    scores: tuple[float, ...]


class Reader:
    """Reads photos with one detector for one template.

    try_rotations: if no face of the photo is within the limits, detect again with the photo rotated by 90, 180 and 270
    degrees, and take the rotation with the best score.
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
        detected = self.find(content, path)
        return detected.found, self.cut(detected, self.template)

    def find(self, content: bytes, path: str | os.PathLike[str]) -> DetectedFaces:
        """Choose the faces in the content of a photo file, for `cut` to cut out at one template or several.

        Raises PhotoError when it cannot be decoded or has no usable face.
        """
        photo = pictures.decode(content, path, self.detector.long_side, self.limits.max_megapixels)
        rotation, detections, usable = self._detect(photo, path)
        boxes = np.asarray(detections.boxes, np.float64) / photo.scale  # (N, 4)
        landmarks = [_rescaled(points, 1 / photo.scale) for points in detections.landmarks]
        chosen = self._choose(usable, boxes, photo.width, photo.height)
        chosen = [i for i in chosen if not are_degenerate(landmarks[i])]
        if not chosen:
            raise PhotoError("bad_landmarks", "the landmarks of the face coincide or lie on a line", path)
        return DetectedFaces(
            content=content,
            path=path,
            photo=photo,
            rotation=rotation,
            found=len(detections),
            boxes=tuple(boxes[i] for i in chosen),
            landmarks=tuple(landmarks[i] for i in chosen),
            scores=tuple(float(detections.scores[i]) for i in chosen),
        )

    def cut(self, detected: DetectedFaces, template: Template) -> tuple[Face, ...]:
        """The faces of a photo at a template. Raises PhotoError where all are blurred or turned away."""
        photo, path = detected.photo, detected.path
        scale = min(1.0, max(needed_scale(points, template) for points in detected.landmarks))
        if photo.scale < scale:  # decoded too small for the crop: decode again, larger
            side = int(np.ceil(max(photo.width, photo.height) * scale))
            photo = pictures.decode(detected.content, path, side, self.limits.max_megapixels)
        faces = []
        refused: PhotoError | None = None
        for box, points, score in zip(detected.boxes, detected.landmarks, detected.scores, strict=True):
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
                faces.append(
                    Face(
                        box=box,
                        landmarks=points,
                        score=score,
                        crop=crop,
                        quality=rounded,
                        rotation=detected.rotation,
                    )
                )
            refused = refused or problem
        if refused is not None and not faces:
            raise refused
        return tuple(faces)

    def _detect(self, photo: pictures.Photo, path: str | os.PathLike[str]) -> tuple[int, Detections, list[int]]:
        """Degrees by which the photo was rotated; the detections, in pixels of the photo before that; and the indices
        of those within the limits."""
        detections = self.detector.detect([photo.image], self.choice)[0]
        try:
            return 0, detections, self._usable(detections, photo.scale, path)
        except PhotoError:
            height, width = photo.image.shape[:2]
            best: tuple[int, Detections, list[int]] | None = None
            best_score = -1.0
            for degrees in ROTATIONS if self.try_rotations else ():
                image = rotate(photo.image, degrees)
                detections = rotate_back(self.detector.detect([image], self.choice)[0], degrees, width, height)
                with suppress(PhotoError):
                    usable = self._usable(detections, photo.scale, path)
                    score = float(detections.scores[usable].max())
                    if score > best_score:
                        best, best_score = (degrees, detections, usable), score
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

    def _usable(self, detections: Detections, scale: float, path: str | os.PathLike[str]) -> list[int]:
        """Indices of the faces that are large enough and score high enough. Raises PhotoError where there are none."""
        boxes, scores = np.asarray(detections.boxes, np.float64) / scale, detections.scores
        if not len(boxes):
            raise PhotoError("no_face", "no face was found", path)
        large = np.array([_longer(box) >= self.limits.min_face for box in boxes])
        confident = np.asarray(scores) >= self.limits.min_score
        if not large.any():
            side = max(_longer(box) for box in boxes)
            words = f"the largest face has {side:.0f} pixels, below the limit of {self.limits.min_face:g}"
            raise PhotoError("too_small", words, path, "lower --min-face")
        if not (large & confident).any():
            words = f"no face scores {self.limits.min_score:g} or more"
            raise PhotoError("low_score", words, path, "lower --min-score")
        return [int(i) for i in np.flatnonzero(large & confident)]

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
