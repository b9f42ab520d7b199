"""From a file to the embeddings of its faces, in a worker: crops are brought to each model's template, photos aligned.

A file is read, decoded and searched for faces once, however many models there are. Its faces are cut out once for each
template, and embedded by each model in batches over several files.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.manifest import Crop
from cosface_cli.engines.detectors import Faces
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.embedders import Embedder, Flip
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.engines.embedders.vectors import embeddings, require_finite
from cosface_cli.engines.photos.copy_detection import face_thumbnail
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.reader import DetectedFaces, Face, Reader, sharpness
from cosface_cli.engines.photos.warp import crop_face, recrop
from cosface_cli.engines.sources import Place
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import Template, are_degenerate, template
from cosface_cli.maths.unit_vectors import unit_length

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Input:
    """A photo or crop to embed."""

    place: Place
    crop: Crop | None = None
    """For a file of a crop folder."""
    known: tuple[str | None, ...] = (None,)
    """For each model, the SHA-256 of the content that it embedded before, if any."""
    landmarks: tuple[tuple[float, float], ...] | None = None
    """For a photo whose face is known already: five (x, y) in pixels."""

    def __str__(self) -> str:
        return str(self.place)


FaceInfo = tuple[tuple[float, ...], float, float]
"""Box, detection score and sharpness of a face."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors:
    """What one model made of one file: vectors of its faces, or the reason why there are none."""

    hash: str
    """SHA-256 of the content."""
    size: int
    """Bytes of the file."""
    mtime_ns: int
    faces: tuple[FaceInfo, ...] = ()
    """The faces that were embedded."""
    vectors: NDArray[np.float32] | None = None
    """(len(faces), D), of unit length."""
    lengths: NDArray[np.float64] | None = None
    """(len(faces),): lengths of the vectors before they were normalised."""
    thumbnails: NDArray[np.uint8] | None = None
    """Of each face, where they were asked for: see copy_detection."""
    found: int = 1
    """Faces that the detector reported."""
    unchanged: bool = False
    """Whether the model has embedded this content before."""
    reason: str | None = None
    """Code of the rejection."""
    words: str = ""
    """Message of the rejection."""


@dataclass(frozen=True, slots=True)
class VectorsOpener:
    """How files become vectors: which models embed them, and how faces are found and chosen in photos."""

    models: tuple[str, ...]
    flip: Flip
    detector: str = "mtcnn"
    choice: Faces = "largest"
    limits: Limits = Limits()  # noqa: RUF009
    try_rotations: bool = False
    device: str = "cpu"
    """See open_embedder."""
    precision: str = "fp32"
    """See open_embedder."""
    readers: int = 1
    """Threads that read files, for a model on a GPU."""
    thumbnails: bool = False
    """Whether to make Vectors.thumbnails."""

    def open(self) -> Callable[[list[Input]], list[tuple[Vectors, ...]]]:
        return FaceVectors([open_embedder(spec, self.device, self.precision) for spec in self.models], self)


@dataclass(frozen=True, slots=True)
class _CutFaces:
    """The faces of a file, cut out at one template."""

    found: int
    faces: tuple[FaceInfo, ...]
    crops: list[Pixels]


class _OpenFile(Protocol):
    """A file that was read, with its faces found."""

    def cut(self, need: Template) -> _CutFaces:
        """Its faces at a template. Raises PhotoError where none of them is usable."""
        ...


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What is known of a file before a model runs, and the crops that the model has to embed."""

    result: Vectors
    crops: list[Pixels]


class FaceVectors:
    """Embeds lists of files by one model or several. For each file it returns the result of each model."""

    def __init__(self, embedders: Sequence[Embedder], how: VectorsOpener) -> None:
        self.embedders = tuple(embedders)
        self.how = how
        self._templates = [template(embedder.template) for embedder in embedders]
        self._threads = ThreadPoolExecutor(how.readers) if how.readers > 1 else None
        self._thread_data = threading.local()  # each thread has a detector of its own

    def __call__(self, inputs: list[Input]) -> list[tuple[Vectors, ...]]:
        prepared = list(self._threads.map(self._prepare, inputs) if self._threads else map(self._prepare, inputs))
        results = [
            self._embed(embedder, inputs, [models[number] for models in prepared])
            for number, embedder in enumerate(self.embedders)
        ]
        return list(zip(*results, strict=True))

    def _prepare(self, item: Input) -> list[_Prepared]:
        """Read a file and cut out its faces, for each model."""
        state = Vectors(hash="", size=0, mtime_ns=0)
        opened: _OpenFile | PhotoError
        try:
            if item.crop is None:  # before the content, so that a change in between is noticed in the next run
                with suppress(OSError):  # reading reports what is wrong
                    size, mtime_ns = item.place.status()
                    state = replace(state, size=size, mtime_ns=mtime_ns)
            content = item.place.read()
            state = replace(state, hash=hashlib.sha256(content).hexdigest())
            if all(state.hash == known for known in item.known):
                return [_Prepared(replace(state, unchanged=True), [])] * len(item.known)
            opened = self._open(content, item)
        except PhotoError as error:
            opened = error
        by_template: dict[str, _Prepared] = {}
        prepared = []
        for known, need in zip(item.known, self._templates, strict=True):
            if state.hash and state.hash == known:
                prepared.append(_Prepared(replace(state, unchanged=True), []))
                continue
            if need.name not in by_template:
                by_template[need.name] = self._cut(state, opened, need)
            prepared.append(by_template[need.name])
        return prepared

    def _open(self, content: bytes, item: Input) -> _OpenFile:
        """Decode a file and find its faces."""
        if item.crop is not None:
            return _CropFile(_crop_pixels(content, item.crop), item.crop)
        if item.landmarks is not None:
            photo = pictures.decode(content, str(item.place), None, self.how.limits.max_megapixels).image
            return _PhotoWithLandmarks(photo, _usable(item.landmarks, str(item.place)))
        reader = self._reader()
        return _PhotoWithFaces(reader, reader.find(content, str(item.place)))

    def _cut(self, state: Vectors, opened: _OpenFile | PhotoError, need: Template) -> _Prepared:
        """The faces of a file at a template, or its rejection."""
        try:
            if isinstance(opened, PhotoError):
                raise opened
            cut = opened.cut(need)
        except PhotoError as error:
            return _Prepared(replace(state, reason=error.reason, words=str(error)), [])
        thumbnails = np.stack([face_thumbnail(crop, need) for crop in cut.crops]) if self.how.thumbnails else None
        return _Prepared(replace(state, faces=cut.faces, found=cut.found, thumbnails=thumbnails), cut.crops)

    def _reader(self) -> Reader:
        """The reader of this thread; its detector is loaded with the first photo."""
        if not hasattr(self._thread_data, "reader"):
            how = self.how
            detector = open_detector(how.detector, how.limits.min_face)
            self._thread_data.reader = Reader(detector, self._templates[0], how.choice, how.limits, how.try_rotations)
        reader: Reader = self._thread_data.reader
        return reader

    def _embed(self, embedder: Embedder, inputs: list[Input], prepared: list[_Prepared]) -> list[Vectors]:
        """Embed the crops of all files together."""
        crops = [crop for file in prepared for crop in file.crops]
        if crops:
            raw = embeddings(embedder, np.stack(crops), self.how.flip)
        else:
            raw = np.zeros((0, embedder.size), np.float32)
        lengths, vectors = np.linalg.norm(raw.astype(np.float64), axis=1), unit_length(raw)
        rows = _slices(prepared)
        return [
            _with_vectors(file.result, vectors[part], lengths[part], str(item.place))
            for item, file, part in zip(inputs, prepared, rows, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _CropFile:
    """A file of a crop folder."""

    pixels: Pixels
    crop: Crop

    def cut(self, need: Template) -> _CutFaces:
        image = recrop(self.pixels, self.crop.template, need, self.crop.landmarks)
        record, have = self.crop.record, self.crop.template
        if record is None:
            box = (0.0, 0.0, float(have.width), float(have.height))
            return _CutFaces(1, ((box, 0.0, round(sharpness(image), 1)),), [image])
        return _CutFaces(1, ((record.box, record.score, float(record.quality.get("sharpness", 0.0))),), [image])


@dataclass(frozen=True, slots=True)
class _PhotoWithLandmarks:
    """A photo whose face was given by its landmarks (5, 2)."""

    photo: Pixels
    landmarks: NDArray[np.float64]

    def cut(self, need: Template) -> _CutFaces:
        crop = crop_face(self.photo, self.landmarks, need)
        box = (*self.landmarks.min(axis=0), *self.landmarks.max(axis=0))
        return _CutFaces(1, ((tuple(round(float(v), 2) for v in box), 0.0, sharpness(crop)),), [crop])


@dataclass(frozen=True, slots=True)
class _PhotoWithFaces:
    """A photo whose faces were detected."""

    reader: Reader
    detected: DetectedFaces

    def cut(self, need: Template) -> _CutFaces:
        faces = self.reader.cut(self.detected, need)
        return _CutFaces(self.detected.found, tuple(_info(face) for face in faces), [face.crop for face in faces])


def crop_of(content: bytes, crop: Crop, need: Template) -> Pixels:
    """The content of a crop file as a crop of template `need`. Raises PhotoError where its size is not as declared."""
    return recrop(_crop_pixels(content, crop), crop.template, need, crop.landmarks)


def _crop_pixels(content: bytes, crop: Crop) -> Pixels:
    image = pictures.decode(content, crop.path).image
    have = crop.template
    if image.shape[:2] != (have.height, have.width):
        words = f"{image.shape[1]}x{image.shape[0]} pixels, not the {have.width}x{have.height} of {have.name!r}"
        raise PhotoError("wrong_size", words, crop.path)
    return image


def _usable(landmarks: tuple[tuple[float, float], ...], path: str) -> NDArray[np.float64]:
    points = np.array(landmarks, np.float64)
    if are_degenerate(points):
        raise PhotoError("bad_landmarks", "the landmarks of the face coincide or lie on a line", path)
    return points


def _info(face: Face) -> FaceInfo:
    return tuple(round(float(v), 2) for v in face.box), round(face.score, 5), face.quality["sharpness"]


def _slices(prepared: list[_Prepared]) -> Iterator[slice]:
    """The rows of each file among the crops of all."""
    start = 0
    for file in prepared:
        yield slice(start, start + len(file.crops))
        start += len(file.crops)


def _with_vectors(result: Vectors, vectors: NDArray[np.float32], lengths: NDArray[np.float64], path: str) -> Vectors:
    try:
        for vector in vectors:
            require_finite(vector, path)
    except PhotoError as error:
        return replace(result, faces=(), vectors=None, reason=error.reason, words=str(error))
    return replace(result, vectors=vectors, lengths=lengths)
