"""The faces of a store, by the names of their photos."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.engines.photos.pair_photos import stem
from cosface_cli.engines.photos.photo_embedder import PhotoEmbeddings
from cosface_cli.engines.sources import File
from cosface_cli.maths.unit_vectors import are_unit
from cosface_cli.verify.faces.source import EmbeddedPhoto, FacePicture, StoredFaces, names_by_stem

Choice = Literal["first", "largest", "all"]
_StoredFace = tuple[FaceRow, NDArray[np.float32]]


class StoreFaces:
    """A store as a FaceSource. It reads rows by the names of their photos. The store is closed at the context's end."""

    def __init__(self, path: Path, choice: Choice = "first") -> None:
        """choice: which of the faces of one photo. Raises CosfaceError for a file that is not a store."""
        self.path = path
        self._choice = choice
        self._store = Store(path)
        self.header = self._store.header
        self.model = self._store.model
        self._roots: dict[str, set[str]] = {}  # photos by their root folder

    @cached_property
    def _numbers(self) -> dict[str, list[int]]:
        """Rows of each photo, by its name."""
        numbers: dict[str, list[int]] = {}
        for block in self._store.blocks():
            for number, row in enumerate(block.rows, block.start):
                if row.source in numbers:
                    numbers[row.source].append(number)
                else:
                    numbers[row.source] = [number]
                    self._roots.setdefault(row.root, set()).add(row.source)
        return numbers

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        return names_by_stem(self._numbers)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._numbers)

    def __enter__(self) -> StoreFaces:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.close()

    def __len__(self) -> int:
        """The number of faces."""
        return len(self._store)

    def find(self, name: str) -> str | None:
        if name in self._numbers:
            return name
        return self._by_stem.get(name) or self._by_stem.get(stem(name))

    def find_path(self, name: str) -> str | None:
        """The photo with that name in the store, or at that path."""
        path = os.path.abspath(name)  # noqa: PTH100
        for source in (name, path):
            if source in self._numbers:
                return source
        for root, sources in self._roots.items():
            source = os.path.relpath(path, root)
            if source in sources:
                return source
        return None

    def photos(self, names: Sequence[str]) -> Iterator[EmbeddedPhoto]:
        """Each of the named photos once, in the order of the store."""
        wanted = {number: name for name in names for number in self._chosen(name)}
        order = np.sort(np.fromiter(wanted, np.int64, len(wanted)))
        waiting = {name: len(self._chosen(name)) for name in names}
        collected: dict[str, list[_StoredFace]] = {}
        for block in self._store.blocks():
            first, last = np.searchsorted(order, (block.start, block.stop))
            for number in order[first:last].tolist():
                name = wanted[number]
                faces = collected.setdefault(name, [])
                faces.append((block.rows[number - block.start], block.vectors[number - block.start]))
                if len(faces) == waiting[name]:
                    yield self._photo(name, collected.pop(name))

    def each_face(self) -> Iterator[tuple[int, EmbeddedPhoto]]:
        """Every face separately, with its number in its photo, from 1; in the order of the store."""
        for row, vector in self._store.pairs():
            yield row.face, self._photo(row.source, [(row, vector)])

    def face(self, name: str, number: int) -> EmbeddedPhoto:
        """One face of a photo, by its number in the photo."""
        for row_number in self._numbers.get(name, ()):
            (row,) = self._store.rows(row_number, row_number + 1)
            if row.face == number:
                return self._photo(name, [(row, self._store.vectors(row_number, row_number + 1)[0])])
        return self.missing_photo(name)

    def stored_faces(self) -> StoredFaces:
        """All faces by number, including several of one photo. Embeddings can be read while the store is open."""
        names, identities, hashes = [], [], []
        for row in self._store.rows():
            names.append(row.source)
            identities.append(row.identity or "")
            hashes.append(row.hash)

        def read(faces: NDArray[np.int64]) -> NDArray[np.float32]:
            first = int(faces.min())
            return self._store.vectors(first, int(faces.max()) + 1)[faces - first]

        return StoredFaces(
            path=self.path,
            names=tuple(names),
            identities=tuple(identities),
            hashes=tuple(hashes),
            read=read,
            model=self.model,
        )

    def missing_photo(self, name: str) -> EmbeddedPhoto:
        """The result for a photo that is not in the store."""
        words = f"{self.path}: the store has no row of {name}"
        nothing = PhotoEmbeddings(hash="", size=0, mtime_ns=0, reason="not_in_store", words=words)
        picture = FacePicture(File(Path(name)), None)
        return EmbeddedPhoto(
            name=name, picture=picture, vectors=nothing, template=self.header.template, choice=self._faces
        )

    @property
    def _faces(self) -> Literal["largest", "all"]:
        return "largest" if self._choice == "largest" else "all"

    def _chosen(self, name: str) -> list[int]:
        numbers = self._numbers[name]
        return numbers[:1] if self._choice == "first" else numbers

    def _photo(self, name: str, faces: list[_StoredFace]) -> EmbeddedPhoto:
        count, first = len(faces), faces[0][0]
        if self._choice == "largest":
            faces = [max(faces, key=lambda face: _area(face[0]))]
        embeddings = np.stack([vector for _, vector in faces])
        if are_unit(embeddings).all():
            known = tuple((row.box, row.score, row.sharpness) for row, _ in faces)
            vectors = PhotoEmbeddings(
                hash=first.hash, size=0, mtime_ns=0, faces=known, vectors=embeddings, detected=count
            )
        else:
            words = f"{self.path}: the embedding of {name} is not of unit length; embed it again"
            vectors = PhotoEmbeddings(hash=first.hash, size=0, mtime_ns=0, reason="bad_embedding", words=words)
        crop_template = first.settings.partition("crops template=")[2]
        return EmbeddedPhoto(
            name=name,
            picture=FacePicture(File(Path(first.root) / first.source), faces[0][0].box if first.size else None),
            vectors=vectors,
            template=crop_template or self.header.template,
            choice=self._faces,
        )


def _area(row: FaceRow) -> float:
    left, top, right, bottom = row.box
    return (right - left) * (bottom - top)
