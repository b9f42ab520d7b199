"""The protocol of a source of faces, and reading the embeddings of many photos from it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.engines.photos.pair_photos import stem
from cosface_cli.engines.photos.photo_embedder import PhotoEmbeddings
from cosface_cli.engines.sources import Place
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.unit_vectors import are_unit
from cosface_cli.outcomes import Done, OnOutcome, Planned, Rejected
from cosface_cli.verify.faces import Faces


@dataclass(frozen=True, slots=True)
class FacePicture:
    """A file that shows a face."""

    place: Place
    box: tuple[float, ...] | None
    """Left, top, right and bottom of the face in pixels; None for a crop, and if no face was detected."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class EmbeddedPhoto:
    """A photo or crop with its faces."""

    name: str
    picture: FacePicture
    """The picture of its first face."""
    vectors: PhotoEmbeddings
    """Embeddings of its faces, or the reason why there are none."""
    template: str
    """Template of the crop whose sharpness was measured."""
    choice: Faces
    """Which of its faces were embedded."""
    photo_hash: str | None = None
    """Hash of the photo that a crop was cut out of, if it is known."""

    @property
    def has_face(self) -> bool:
        """Whether there is a face to compare."""
        return self.vectors.reason is None and self.vectors.vectors is not None


class FaceSource(Protocol):
    """Photos by name with the embeddings of their faces. A context manager: a store is closed at its end."""

    @property
    def path(self) -> Path:
        """The folder, file or store, for errors."""
        ...

    @property
    def model(self) -> ModelIdentity:
        """The model of the embeddings."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The names of the photos, each once, in order."""
        ...

    def find(self, name: str) -> str | None:
        """The photo for a name in a list: the photo with the same name, or with the same name without its ending."""
        ...

    def photos(self, names: Sequence[str]) -> Iterator[EmbeddedPhoto]:
        """Each of the named photos once, in the order that is fastest to read."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FaceTable:
    """The first face of each of N photos."""

    names: tuple[str, ...]
    vectors: NDArray[np.float32]
    """(N, D) of unit length, NaN for a photo without an embedding."""
    scores: NDArray[np.float64]
    """(N,) scores of the detector; 0 for crops."""
    pictures: tuple[FacePicture, ...]
    data: str
    """Hash of the names and of the files behind them."""

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(N,) which photos have an embedding."""
        return np.isfinite(self.vectors[:, 0])

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the photos without an embedding."""
        return tuple(name for name, usable in zip(self.names, self.usable, strict=True) if not usable)


def read_faces(source: FaceSource, names: Iterable[str], emit: OnOutcome) -> FaceTable:
    """Embed or read the first face of each photo; each photo is emitted. A repeated name is used once."""
    names = tuple(dict.fromkeys(names))
    emit(Planned(len(names)))
    place = {name: number for number, name in enumerate(names)}
    vectors = np.full((len(names), source.model.size or 1), np.nan, np.float32)
    scores = np.zeros(len(names))
    hashes = [""] * len(names)
    pictures: dict[str, FacePicture] = {}
    for photo in source.photos(names):
        number = place[photo.name]
        hashes[number], pictures[photo.name] = photo.vectors.hash, photo.picture
        if photo.vectors.reason is not None or photo.vectors.vectors is None:
            emit(Rejected(str(photo.picture.place), photo.vectors.reason or "no_face", photo.vectors.words))
        else:
            vectors[number], scores[number] = photo.vectors.vectors[0], photo.vectors.faces[0][1]
            emit(Done(str(photo.picture.place)))
    return FaceTable(
        names=names,
        vectors=vectors,
        scores=scores,
        pictures=tuple(pictures[name] for name in names),
        data=hash_of_files(names, hashes),
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class StoredFaces:
    """Faces by number, whose embeddings can be read repeatedly, in blocks."""

    path: Path
    names: tuple[str, ...]
    """The photo of each face."""
    identities: tuple[str, ...]
    """The identity of each face, "" if it is not known."""
    hashes: tuple[str, ...]
    """Hash of the photo or the file of each face."""
    read: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    """Embeddings (n, D) of some faces, as stored."""
    model: ModelIdentity | None
    """None if the files do not record it."""
    normalized: bool = True
    """Whether they are stored at unit length. Then an embedding of another length is damaged."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def data(self) -> str:
        """Hash of the names and of the files behind them."""
        return hash_of_files(self.names, self.hashes)

    def take(self, faces: NDArray[np.int64]) -> NDArray[np.float32]:
        """Embeddings (n, D) of some faces. Raises CosfaceError for a damaged one."""
        vectors = self.read(faces)
        wrong = np.flatnonzero(~are_unit(vectors))
        if self.normalized and wrong.size:
            problem = f"the embedding of {self.names[faces[wrong[0]]]} is not of unit length"
            raise CosfaceError(problem, self.path, "embed it again")
        return vectors

    def subset(self, faces: NDArray[np.int64]) -> StoredFaces:
        """The faces with these numbers, in this order."""

        def of(column: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(column[face] for face in faces)

        return StoredFaces(
            path=self.path,
            names=of(self.names),
            identities=of(self.identities),
            hashes=of(self.hashes),
            read=lambda numbers: self.read(faces[numbers]),
            model=self.model,
            normalized=self.normalized,
        )


def names_by_stem(names: Iterable[str]) -> dict[str, str]:
    """Full names by names without ending; the first of several."""
    full: dict[str, str] = {}
    for name in names:
        full.setdefault(stem(name), name)
    return full


def hash_of_files(names: Iterable[str], hashes: Iterable[str]) -> str:
    """SHA-256 of the names of files and the hash of each."""
    digest = hashlib.sha256()
    for name, file_hash in zip(names, hashes, strict=True):
        digest.update(f"{name} {file_hash}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def first_level(name: str) -> str:
    """The identity of a photo in a folder per person: the first level of its name, "" if it has one level."""
    head, slash, _ = name.partition("/")
    return head if slash else ""
