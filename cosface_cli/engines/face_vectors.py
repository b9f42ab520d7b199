"""From a file to the vectors of its faces, in a worker: crops are brought to the model's template, photos aligned."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts import photos
from cosface_cli.artifacts.crops import Crop
from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.embedders import Embedder, Flip
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.embedders.vectors import require_finite, unit_embeddings
from cosface_cli.engines.reader import Choice, Face, Limits, Reader, sharpness
from cosface_cli.engines.sources import Place
from cosface_cli.engines.warp import recrop
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import Template, template


@dataclass(frozen=True, slots=True)
class Input:
    """A photo or crop to embed. crop: where it is of a crop folder. known_hash: a content that is done already."""

    place: Place
    crop: Crop | None = None
    known_hash: str | None = None

    def __str__(self) -> str:
        return str(self.place)


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """faces: what is known of each (box, score, sharpness); vectors: (len(faces), D) of unit length; found: faces that
    the detector reported; reason: why there are none."""

    hash: str
    size: int
    mtime_ns: int
    faces: tuple[tuple[tuple[float, ...], float, float], ...] = ()
    vectors: NDArray[np.float32] | None = None
    found: int = 1
    unchanged: bool = False
    reason: str | None = None
    words: str = ""


@dataclass(frozen=True, slots=True)
class VectorsOpener:
    """How files become vectors: the model and its flip, and for photos how faces are found and chosen."""

    model: str
    flip: Flip
    detector: str = "mtcnn"
    choice: Choice = "largest"
    limits: Limits = Limits()  # noqa: RUF009
    try_rotations: bool = False

    def open(self) -> Callable[[list[Input]], list[Vectors]]:
        return FaceVectors(open_embedder(self.model), self)


class FaceVectors:
    """Embeds lists of files; the detector is loaded with the first photo."""

    def __init__(self, embedder: Embedder, how: VectorsOpener) -> None:
        self.embedder = embedder
        self.how = how
        self._template = template(embedder.template)
        self._reader: Reader | None = None

    def __call__(self, inputs: list[Input]) -> list[Vectors]:
        read = [self._read(item) for item in inputs]
        crops = [crop for _, own in read for crop in own]
        vectors = (
            unit_embeddings(self.embedder, np.stack(crops), self.how.flip)
            if crops
            else np.zeros((0, self.embedder.size), np.float32)
        )
        out, at = [], 0
        for item, (result, own) in zip(inputs, read, strict=True):
            out.append(_with(result, vectors[at : at + len(own)], str(item.place)))
            at += len(own)
        return out

    def _read(self, item: Input) -> tuple[Vectors, list[NDArray[np.uint8]]]:
        """What is known before the network runs, and the crops for it."""
        size = mtime_ns = 0
        digest = ""
        try:
            if item.crop is None:  # before it is read, so that a change in between shows at the next run
                with suppress(OSError):  # reading says what is wrong
                    size, mtime_ns = item.place.status()
            content = item.place.read()
            digest = hashlib.sha256(content).hexdigest()
            if digest == item.known_hash:
                return Vectors(digest, size, mtime_ns, unchanged=True), []
            if item.crop is not None:
                return self._read_crop(content, item.crop, digest)
            found, faces = self._photo_reader().faces(content, str(item.place))
        except PhotoError as error:
            return Vectors(digest, size, mtime_ns, reason=error.reason, words=str(error)), []
        known = tuple(_known(face) for face in faces)
        return Vectors(digest, size, mtime_ns, known, found=found), [face.crop for face in faces]

    def _read_crop(self, content: bytes, crop: Crop, digest: str) -> tuple[Vectors, list[NDArray[np.uint8]]]:
        image = crop_of(content, crop, self._template)
        record = crop.record
        if record is None:
            box: tuple[float, ...] = (0.0, 0.0, float(crop.template.width), float(crop.template.height))
            score, sharp = 0.0, round(sharpness(image), 1)
        else:
            box, score, sharp = record.box, record.score, float(record.quality.get("sharpness", 0.0))
        return Vectors(digest, 0, 0, ((box, score, sharp),)), [image]

    def _photo_reader(self) -> Reader:
        if self._reader is None:
            detector = open_detector(self.how.detector, self.how.limits.min_face)
            how = self.how
            self._reader = Reader(detector, self._template, how.choice, how.limits, how.try_rotations)
        return self._reader


def crop_of(content: bytes, crop: Crop, need: Template) -> NDArray[np.uint8]:
    """A crop file's content as a crop of template `need`. Raises PhotoError where it is not of its own template."""
    image = photos.decode(content, crop.path).image
    have = crop.template
    if image.shape[:2] != (have.height, have.width):
        words = f"{image.shape[1]}x{image.shape[0]} pixels, not the {have.width}x{have.height} of {have.name!r}"
        raise PhotoError("wrong_size", words, crop.path)
    return recrop(image, have, need, crop.landmarks)


def _known(face: Face) -> tuple[tuple[float, ...], float, float]:
    return tuple(round(float(v), 2) for v in face.box), round(face.score, 5), face.quality["sharpness"]


def _with(result: Vectors, vectors: NDArray[np.float32], path: str) -> Vectors:
    try:
        for vector in vectors:
            require_finite(vector, path)
    except PhotoError as error:
        return replace(result, faces=(), vectors=None, reason=error.reason, words=str(error))
    return replace(result, vectors=vectors)
