"""From files to the embeddings of their faces, in a worker process.

A file is read, decoded and searched for faces once, however many models there are. Its faces are cut out once for each
template, and each model embeds them in batches over several files.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

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
from cosface_cli.engines.photos.face_cutting import (
    CropFile,
    DecodedFile,
    FaceInfo,
    Landmarks,
    PhotoWithFaces,
    PhotoWithLandmarks,
    Pixels,
    crop_pixels,
    usable_landmarks,
)
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.engines.sources import Place
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import Template, template
from cosface_cli.maths.unit_vectors import unit_length


@dataclass(frozen=True, slots=True)
class PhotoOrCrop:
    """A photo or crop to embed."""

    place: Place
    crop: Crop | None = None
    """For a file of a crop folder."""
    known: tuple[str | None, ...] = (None,)
    """For each model, the SHA-256 of the content that it embedded before, if any."""
    landmarks: Landmarks | None = None
    """For a photo whose face is known already."""

    def __str__(self) -> str:
        return str(self.place)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhotoEmbeddings:
    """The embeddings that one model made of the faces in one file, or the reason why there are none."""

    hash: str
    """SHA-256 of the content."""
    size: int
    """Bytes of the file."""
    mtime_ns: int
    """Time of the last change, in nanoseconds."""
    faces: tuple[FaceInfo, ...] = ()
    """The faces that were embedded."""
    vectors: NDArray[np.float32] | None = None
    """(len(faces), D), of unit length."""
    lengths: NDArray[np.float64] | None = None
    """(len(faces),): lengths of the vectors before they were normalised."""
    thumbnails: NDArray[np.uint8] | None = None
    """The thumbnail of each face, if they were asked for: see copy_detection."""
    detected: int = 1
    """Faces that the detector reported."""
    unchanged: bool = False
    """Whether the model has embedded this content before."""
    reason: str | None = None
    """Code of the rejection."""
    words: str = ""
    """Message of the rejection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoEmbedderOpener:
    """Opens a PhotoEmbedder in a worker: which models embed, and how faces are found and chosen in photos."""

    models: tuple[str, ...]
    """Names or paths, as open_embedder takes them."""
    flip: Flip
    detector: str = "mtcnn"
    faces: Faces = "largest"
    """Which faces of a photo are embedded."""
    limits: Limits = Limits()  # noqa: RUF009
    try_rotations: bool = False
    device: str = "cpu"
    """See open_embedder."""
    precision: str = "fp32"
    """See open_embedder."""
    readers: int = 1
    """Threads that read files, for a model on a GPU."""
    thumbnails: bool = False
    """Whether to make PhotoEmbeddings.thumbnails."""

    def open(self) -> Callable[[list[PhotoOrCrop]], list[tuple[PhotoEmbeddings, ...]]]:
        return PhotoEmbedder([open_embedder(spec, self.device, self.precision) for spec in self.models], self)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A file before a model embeds its faces."""

    result: PhotoEmbeddings
    """All but the embeddings."""
    crops: list[Pixels]
    """What the model has to embed."""


class PhotoEmbedder:
    """Embeds the faces of files by one model or several. For each file it returns the result of each model."""

    def __init__(self, embedders: Sequence[Embedder], opener: PhotoEmbedderOpener) -> None:
        self.embedders = tuple(embedders)
        self.opener = opener
        self._templates = [template(embedder.template) for embedder in embedders]
        self._threads = ThreadPoolExecutor(opener.readers) if opener.readers > 1 else None
        self._thread_data = threading.local()  # each thread has a detector of its own

    def __call__(self, inputs: list[PhotoOrCrop]) -> list[tuple[PhotoEmbeddings, ...]]:
        prepared = list(self._threads.map(self._prepare, inputs) if self._threads else map(self._prepare, inputs))
        results = [
            self._embed(embedder, inputs, [models[number] for models in prepared])
            for number, embedder in enumerate(self.embedders)
        ]
        return list(zip(*results, strict=True))

    def _prepare(self, item: PhotoOrCrop) -> list[_Prepared]:
        """Read a file and cut out its faces, for each model."""
        state = PhotoEmbeddings(hash="", size=0, mtime_ns=0)
        decoded: DecodedFile | PhotoError
        try:
            if item.crop is None:  # before the content, so that a change in between is noticed in the next run
                with suppress(OSError):  # reading reports what is wrong
                    size, mtime_ns = item.place.status()
                    state = replace(state, size=size, mtime_ns=mtime_ns)
            content = item.place.read()
            state = replace(state, hash=hashlib.sha256(content).hexdigest())
            if all(state.hash == known for known in item.known):
                return [_Prepared(replace(state, unchanged=True), [])] * len(item.known)
            decoded = self._decode(content, item)
        except PhotoError as error:
            decoded = error
        by_template: dict[str, _Prepared] = {}
        prepared = []
        for known, need in zip(item.known, self._templates, strict=True):
            if state.hash and state.hash == known:
                prepared.append(_Prepared(replace(state, unchanged=True), []))
                continue
            if need.name not in by_template:
                by_template[need.name] = self._cut(state, decoded, need)
            prepared.append(by_template[need.name])
        return prepared

    def _decode(self, content: bytes, item: PhotoOrCrop) -> DecodedFile:
        """Decode a file and find its faces."""
        if item.crop is not None:
            return CropFile(crop_pixels(content, item.crop), item.crop)
        if item.landmarks is not None:
            photo = pictures.decode(content, str(item.place), None, self.opener.limits.max_megapixels).image
            return PhotoWithLandmarks(photo, usable_landmarks(item.landmarks, str(item.place)))
        reader = self._reader()
        return PhotoWithFaces(reader, reader.find(content, str(item.place)))

    def _cut(self, state: PhotoEmbeddings, decoded: DecodedFile | PhotoError, need: Template) -> _Prepared:
        """The faces of a file at a template, or its rejection."""
        try:
            if isinstance(decoded, PhotoError):
                raise decoded
            cut = decoded.cut(need)
        except PhotoError as error:
            return _Prepared(replace(state, reason=error.reason, words=str(error)), [])
        thumbnails = np.stack([face_thumbnail(crop, need) for crop in cut.crops]) if self.opener.thumbnails else None
        return _Prepared(replace(state, faces=cut.faces, detected=cut.detected, thumbnails=thumbnails), cut.crops)

    def _reader(self) -> Reader:
        """The reader of this thread; its detector is loaded with the first photo."""
        if not hasattr(self._thread_data, "reader"):
            opener = self.opener
            detector = open_detector(opener.detector, opener.limits.min_face)
            self._thread_data.reader = Reader(
                detector, self._templates[0], opener.faces, opener.limits, opener.try_rotations
            )
        reader: Reader = self._thread_data.reader
        return reader

    def _embed(self, embedder: Embedder, inputs: list[PhotoOrCrop], prepared: list[_Prepared]) -> list[PhotoEmbeddings]:
        """Embed the crops of all files together."""
        crops = [crop for file in prepared for crop in file.crops]
        if crops:
            raw = embeddings(embedder, np.stack(crops), self.opener.flip)
        else:
            raw = np.zeros((0, embedder.size), np.float32)
        lengths, vectors = np.linalg.norm(raw.astype(np.float64), axis=1), unit_length(raw)
        rows = _slices(prepared)
        return [
            _with_vectors(file.result, vectors[part], lengths[part], str(item.place))
            for item, file, part in zip(inputs, prepared, rows, strict=True)
        ]


def _slices(prepared: list[_Prepared]) -> Iterator[slice]:
    """The rows of each file among the crops of all."""
    start = 0
    for file in prepared:
        yield slice(start, start + len(file.crops))
        start += len(file.crops)


def _with_vectors(
    result: PhotoEmbeddings, vectors: NDArray[np.float32], lengths: NDArray[np.float64], path: str
) -> PhotoEmbeddings:
    try:
        for vector in vectors:
            require_finite(vector, path)
    except PhotoError as error:
        return replace(result, faces=(), vectors=None, reason=error.reason, words=str(error))
    return replace(result, vectors=vectors, lengths=lengths)
