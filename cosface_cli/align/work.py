"""What one worker does to one photo: read, detect, choose, cut out, encode."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cosface_cli.align import AlignConfig
from cosface_cli.artifacts import pictures
from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.photos.limits import limits_of
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.engines.sources import Place
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import template


@dataclass(frozen=True, slots=True)
class Task:
    """A photo to align. known_hash: SHA-256 of the content that the crops in the folder came from, if any."""

    name: str
    place: Place
    known_hash: str | None = None

    def __str__(self) -> str:
        return str(self.place)


@dataclass(frozen=True, slots=True)
class CutOut:
    """A crop with what the manifest says of it."""

    content: bytes
    box: tuple[float, ...]
    landmarks: tuple[tuple[float, ...], ...]
    score: float
    quality: Mapping[str, float]
    rotation: int


@dataclass(frozen=True, slots=True)
class Result:
    """crops: at least one, unless the photo was rejected or is unchanged (its content hash is the known one)."""

    size: int = 0
    mtime_ns: int = 0
    hash: str = ""
    found: int = 0
    crops: tuple[CutOut, ...] = ()
    unchanged: bool = False
    reason: str | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class AlignOpener:
    """Opens the worker of a configuration."""

    config: AlignConfig

    def open(self) -> Callable[[list[Task]], list[Result]]:
        config = self.config
        detector = open_detector(config.detector, config.min_face)
        choice: Any = config.faces
        reader = Reader(detector, template(config.template), choice, limits_of(config), config.try_rotations)
        encode = pictures.encode_png if config.crops == "png" else pictures.encode_jpeg
        return lambda tasks: [align_photo(task, reader, encode) for task in tasks]


def align_photo(task: Task, reader: Reader, encode: Callable[[pictures.Pixels], bytes]) -> Result:
    """The crops of one photo, or why there are none; a photo's fault is a value here, not an exception."""
    size = mtime_ns = 0
    digest = ""
    try:
        with suppress(OSError):  # reading says what is wrong with it
            size, mtime_ns = task.place.status()
        content = task.place.read()
        digest = hashlib.sha256(content).hexdigest()
        if digest == task.known_hash:
            return Result(size, mtime_ns, digest, unchanged=True)
        found, faces = reader.faces(content, str(task.place))
    except PhotoError as error:
        return Result(size, mtime_ns, digest, reason=error.reason, words=str(error))
    crops = tuple(
        CutOut(
            encode(face.crop),
            tuple(round(float(v), 2) for v in face.box),
            tuple((round(float(x), 3), round(float(y), 3)) for x, y in face.landmarks),
            round(face.score, 5),
            face.quality,
            face.rotation,
        )
        for face in faces
    )
    return Result(size, mtime_ns, digest, found, crops)
