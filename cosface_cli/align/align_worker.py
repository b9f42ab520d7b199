"""What one worker does with one photo: read, detect, choose, cut out, encode."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from cosface_cli.align import AlignConfig
from cosface_cli.artifacts import pictures
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.photos.face_cutting import rounded_box
from cosface_cli.engines.photos.limits import limits_of
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.engines.sources import Place
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import template


@dataclass(frozen=True, slots=True)
class AlignTask:
    """A photo to align."""

    place: Place
    known_hash: str | None = None
    """SHA-256 of the content that the existing crops were made from, if there are any."""

    def __str__(self) -> str:
        return str(self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedCrop:
    """A crop with its values for the manifest."""

    content: bytes
    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, ...], ...]
    score: float
    quality: Mapping[str, float]
    rotation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignedPhoto:
    """The result for one photo: crops, or unchanged, or a reason for rejecting it."""

    size: int
    """Bytes of the file."""
    mtime_ns: int
    hash: str
    """SHA-256 of the content; empty if it could not be read."""
    detected: int = 0
    """Faces that the detector reported."""
    crops: tuple[EncodedCrop, ...] = ()
    unchanged: bool = False
    """Whether the content hash is the known one."""
    reason: str | None = None
    """Why there is no crop, as a code."""
    words: str = ""
    """The same as a sentence."""


@dataclass(frozen=True, slots=True)
class AlignWorkerOpener:
    """Opens the worker for a config."""

    config: AlignConfig

    def open(self) -> Callable[[list[AlignTask]], list[AlignedPhoto]]:
        config = self.config
        detector = open_detector(config.detector, config.min_face)
        reader = Reader(detector, template(config.template), config.faces, limits_of(config), config.try_rotations)
        encode = pictures.encode_png if config.crops == "png" else pictures.encode_jpeg
        return lambda tasks: [align_photo(task, reader, encode) for task in tasks]


def align_photo(task: AlignTask, reader: Reader, encode: Callable[[pictures.Pixels], bytes]) -> AlignedPhoto:
    """The crops of one photo, or why there are none. A problem of the photo is a value, not an exception."""
    size = mtime_ns = 0
    digest = ""
    try:
        with suppress(OSError):  # reading reports what is wrong
            size, mtime_ns = task.place.status()
        content = task.place.read()
        digest = hashlib.sha256(content).hexdigest()
        if digest == task.known_hash:
            return AlignedPhoto(size=size, mtime_ns=mtime_ns, hash=digest, unchanged=True)
        detected, faces = reader.faces(content, str(task.place))
    except PhotoError as error:
        return AlignedPhoto(size=size, mtime_ns=mtime_ns, hash=digest, reason=error.reason, words=str(error))
    crops = tuple(
        EncodedCrop(
            content=encode(face.crop),
            box=rounded_box(face.box),
            landmarks=tuple((round(float(x), 3), round(float(y), 3)) for x, y in face.landmarks),
            score=round(face.score, 5),
            quality=face.quality,
            rotation=face.rotation,
        )
        for face in faces
    )
    return AlignedPhoto(size=size, mtime_ns=mtime_ns, hash=digest, detected=detected, crops=crops)
