"""From a file to the vectors of its faces, in a worker: crops are brought to each model's template, photos aligned."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.manifest import Crop
from cosface_cli.engines.detectors import Faces
from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.embedders import Embedder, Flip
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.embedders.vectors import embeddings, require_finite
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.perceptual_hash import look
from cosface_cli.engines.photos.reader import Face, Reader, sharpness
from cosface_cli.engines.photos.warp import crop_face, recrop
from cosface_cli.engines.sources import Place
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import Template, are_degenerate, template
from cosface_cli.maths.unit_vectors import unit_length


@dataclass(frozen=True, slots=True)
class Input:
    """A photo or crop to embed. crop: where it is of a crop folder; landmarks: five (x, y) in pixels of a photo whose
    face is known already; known: for each model, the content that it has done already, if any."""

    place: Place
    crop: Crop | None = None
    known: tuple[str | None, ...] = (None,)
    landmarks: tuple[tuple[float, float], ...] | None = None

    def __str__(self) -> str:
        return str(self.place)


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """faces: what is known of each (box, score, sharpness); vectors: (len(faces), D) of unit length; lengths: what they
    were before; looks: of each face, see engines.likeness, where they were asked for; found: faces that the detector
    reported; reason: why there are none."""

    hash: str
    size: int
    mtime_ns: int
    faces: tuple[tuple[tuple[float, ...], float, float], ...] = ()
    vectors: NDArray[np.float32] | None = None
    lengths: NDArray[np.float64] | None = None
    looks: NDArray[np.uint8] | None = None
    found: int = 1
    unchanged: bool = False
    reason: str | None = None
    words: str = ""


_Read = tuple[Vectors, list[NDArray[np.uint8]]]
_Cut = tuple[int, tuple[tuple[tuple[float, ...], float, float], ...], list[NDArray[np.uint8]]]  # found, faces, crops


@dataclass(frozen=True, slots=True)
class VectorsOpener:
    """How files become vectors: the models and their flip, and for photos how faces are found and chosen.

    device, precision: as for open_embedder; readers: threads that read the files, beside a GPU; looks: whether to keep
    how the faces look.
    """

    models: tuple[str, ...]
    flip: Flip
    detector: str = "mtcnn"
    choice: Faces = "largest"
    limits: Limits = Limits()  # noqa: RUF009
    try_rotations: bool = False
    device: str = "cpu"
    precision: str = "fp32"
    readers: int = 1
    looks: bool = False

    def open(self) -> Callable[[list[Input]], list[tuple[Vectors, ...]]]:
        return FaceVectors([open_embedder(spec, self.device, self.precision) for spec in self.models], self)


class FaceVectors:
    """Embeds lists of files by one model or several, each file read once; the detector is loaded with the first photo.

    Gives for each file what each model makes of it.
    """

    def __init__(self, embedders: Sequence[Embedder], how: VectorsOpener) -> None:
        self.embedders = tuple(embedders)
        self.how = how
        self._templates = [template(embedder.template) for embedder in embedders]
        self._threads = ThreadPoolExecutor(how.readers) if how.readers > 1 else None
        self._own = threading.local()  # detectors are no two threads' at once

    def __call__(self, inputs: list[Input]) -> list[tuple[Vectors, ...]]:
        read = list(self._threads.map(self._read, inputs) if self._threads else map(self._read, inputs))
        results = [
            self._embedded(embedder, inputs, [own[number] for own in read])
            for number, embedder in enumerate(self.embedders)
        ]
        return list(zip(*results, strict=True))

    def _embedded(self, embedder: Embedder, inputs: list[Input], read: list[_Read]) -> list[Vectors]:
        crops = [crop for _, own in read for crop in own]
        raw = (
            embeddings(embedder, np.stack(crops), self.how.flip) if crops else np.zeros((0, embedder.size), np.float32)
        )
        lengths, vectors = np.linalg.norm(raw.astype(np.float64), axis=1), unit_length(raw)
        out, at = [], 0
        for item, (result, own) in zip(inputs, read, strict=True):
            rows = slice(at, at + len(own))
            out.append(_with(result, vectors[rows], lengths[rows], str(item.place)))
            at += len(own)
        return out

    def _read(self, item: Input) -> list[_Read]:
        """For each model what is known before it runs, and the crops for it."""
        size = mtime_ns = 0
        digest = ""
        cut: Callable[[Template], _Cut] | None = None
        fault: PhotoError | None = None
        try:
            if item.crop is None:  # before it is read, so that a change in between shows at the next run
                with suppress(OSError):  # reading says what is wrong
                    size, mtime_ns = item.place.status()
            content = item.place.read()
            digest = hashlib.sha256(content).hexdigest()
            if any(digest != known for known in item.known):
                cut = self._cutter(content, item)
        except PhotoError as error:
            fault = error

        def made(need: Template) -> _Read:
            try:
                if cut is None:
                    assert fault is not None
                    raise fault
                found, faces, crops = cut(need)
                looks = np.stack([look(crop, need) for crop in crops]) if self.how.looks else None
                return Vectors(digest, size, mtime_ns, faces, found=found, looks=looks), crops
            except PhotoError as error:
                return Vectors(digest, size, mtime_ns, reason=error.reason, words=str(error)), []

        done: dict[str, _Read] = {}  # by template
        out: list[_Read] = []
        for known, need in zip(item.known, self._templates, strict=True):
            if digest and digest == known:
                out.append((Vectors(digest, size, mtime_ns, unchanged=True), []))
            else:
                out.append(done[need.name] if need.name in done else done.setdefault(need.name, made(need)))
        return out

    def _cutter(self, content: bytes, item: Input) -> Callable[[Template], _Cut]:
        """Decodes, and for a photo detects, once; what it gives cuts the faces out at a template."""
        crop = item.crop
        if crop is not None:
            image = _crop_pixels(content, crop)
            return lambda need: _cut_crop(image, crop, need)
        if item.landmarks is not None:
            photo = pictures.decode(content, str(item.place), None, self.how.limits.max_megapixels).image
            points = np.array(item.landmarks, np.float64)
            if are_degenerate(points):
                raise PhotoError(
                    "bad_landmarks", "the landmarks of the face coincide or lie on a line", str(item.place)
                )
            return lambda need: _cut_at(photo, points, need)
        reader = self._photo_reader()
        sight = reader.see(content, str(item.place))

        def cut(need: Template) -> _Cut:
            faces = reader.cut(sight, need)
            return sight.found, tuple(_known(face) for face in faces), [face.crop for face in faces]

        return cut

    def _photo_reader(self) -> Reader:
        if not hasattr(self._own, "reader"):
            how = self.how
            detector = open_detector(how.detector, how.limits.min_face)
            self._own.reader = Reader(detector, self._templates[0], how.choice, how.limits, how.try_rotations)
        reader: Reader = self._own.reader
        return reader


def crop_of(content: bytes, crop: Crop, need: Template) -> NDArray[np.uint8]:
    """A crop file's content as a crop of template `need`. Raises PhotoError where it is not of its own template."""
    return recrop(_crop_pixels(content, crop), crop.template, need, crop.landmarks)


def _crop_pixels(content: bytes, crop: Crop) -> NDArray[np.uint8]:
    image = pictures.decode(content, crop.path).image
    have = crop.template
    if image.shape[:2] != (have.height, have.width):
        words = f"{image.shape[1]}x{image.shape[0]} pixels, not the {have.width}x{have.height} of {have.name!r}"
        raise PhotoError("wrong_size", words, crop.path)
    return image


def _cut_at(photo: NDArray[np.uint8], landmarks: NDArray[np.float64], need: Template) -> _Cut:
    crop = crop_face(photo, landmarks, need)
    box = (*landmarks.min(axis=0), *landmarks.max(axis=0))
    return 1, ((tuple(round(float(v), 2) for v in box), 0.0, sharpness(crop)),), [crop]


def _cut_crop(pixels: NDArray[np.uint8], crop: Crop, need: Template) -> _Cut:
    image = recrop(pixels, crop.template, need, crop.landmarks)
    record = crop.record
    if record is None:
        box: tuple[float, ...] = (0.0, 0.0, float(crop.template.width), float(crop.template.height))
        return 1, ((box, 0.0, round(sharpness(image), 1)),), [image]
    return 1, ((record.box, record.score, float(record.quality.get("sharpness", 0.0))),), [image]


def _known(face: Face) -> tuple[tuple[float, ...], float, float]:
    return tuple(round(float(v), 2) for v in face.box), round(face.score, 5), face.quality["sharpness"]


def _with(result: Vectors, vectors: NDArray[np.float32], lengths: NDArray[np.float64], path: str) -> Vectors:
    try:
        for vector in vectors:
            require_finite(vector, path)
    except PhotoError as error:
        return replace(result, faces=(), vectors=None, reason=error.reason, words=str(error))
    return replace(result, vectors=vectors, lengths=lengths)
