"""Embeddings by name, to be read in blocks: of a store, or of a folder of MegaFace's feature files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.atomic import make_folder
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.packed.feature_bin import find_features, read_feature, write_feature
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.engines.photos.pair_photos import stem
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.unit_vectors import are_unit
from cosface_cli.verify.faces.by_name import file_line, is_store

ALGORITHM = "cosface"  # in the names of feature files


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """names: of the photos; identities: "" where a photo has none; hashes: of the photos or files; rows: of them, those
    that are meant; take: vectors (n, D) of some rows, raising CosfaceError for one without a direction; model: name, id
    and flip, None where nobody says."""

    path: Path
    names: tuple[str, ...]
    identities: tuple[str, ...]
    hashes: tuple[str, ...]
    take: Callable[[NDArray[np.int64]], NDArray[np.float32]]
    model: tuple[str, str, str] | None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def data(self) -> str:
        """A hash of the names and of what is behind them."""
        digest = hashlib.sha256()
        for name, own in zip(self.names, self.hashes, strict=True):
            digest.update(file_line(name, own))
        return digest.hexdigest()

    def chosen(self, rows: NDArray[np.int64]) -> Features:
        """Only some rows, in that order."""

        def take(some: NDArray[np.int64]) -> NDArray[np.float32]:
            return self.take(rows[some])

        def of(column: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(column[row] for row in rows)

        return Features(self.path, of(self.names), of(self.identities), of(self.hashes), take, self.model)


def open_features(path: Path, open_files: ExitStack) -> Features:
    """The embeddings of a store, which open_files closes, or of a folder of feature files."""
    if not is_store(path):
        return _of_folder(path)
    require_finished(path)
    return _of_store(open_files.enter_context(Store(path)))


def named(name: str, names: frozenset[str]) -> str | None:
    """How a list calls a photo: by its whole name, its last level, or either without ending; None for not at all."""
    last = name.rpartition("/")[2]
    return next((call for call in (name, last, stem(name), stem(last)) if call in names), None)


def require_one_model(one: Features, other: Features) -> None:
    """Raises ModelMismatch where two stores are of different models or flips."""
    if one.model is not None and other.model is not None and one.model != other.model:
        words = "embeddings of {} ({}) with --flip {}".format(*other.model)
        held = "{} ({}) with --flip {}".format(*one.model)
        raise ModelMismatch(f"{words}; {one.path} has {held}", other.path, "take stores of one model")


def write_features(features: Features, folder: Path) -> int:
    """Write each vector as a MegaFace feature file below a new or empty folder, and give their number."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CosfaceError("there is something already", folder, "name a new folder")
    for number, name in enumerate(features.names):
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or not pure.name:
            raise CosfaceError(f"the name {name!r} leads out of its folder", features.path, "embed the photos again")
        target = folder / f"{name}_{ALGORITHM}.bin"
        make_folder(target.parent)
        write_feature(target, features.take(np.array([number]))[0])
    return len(features)


def _of_store(store: Store) -> Features:
    names, identities, hashes = [], [], []
    for row in store.rows():
        names.append(row.source)
        identities.append(row.identity or "")
        hashes.append(row.hash)

    def take(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        first = int(rows.min())
        vectors = store.vectors(first, int(rows.max()) + 1)[rows - first]
        wrong = np.flatnonzero(~are_unit(vectors))
        if wrong.size:
            problem = f"the embedding of {names[rows[wrong[0]]]} is not of unit length"
            raise CosfaceError(problem, store.path, "embed it again")
        return vectors

    have = store.header
    model = (have.model, have.model_id, have.flip)
    return Features(store.path, tuple(names), tuple(identities), tuple(hashes), take, model)


def _of_folder(path: Path) -> Features:
    found = find_features(path)
    files = list(found.values())
    size = read_feature(files[0]).size

    def one(row: int) -> NDArray[np.float32]:
        vector = read_feature(files[row])
        if vector.size != size:
            problem = f"a vector of {vector.size} numbers, {files[0].name} has {size}"
            raise CosfaceError(problem, files[row], "take features of one model")
        return vector

    def take(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.stack([one(row) for row in rows])

    hashes = tuple(file_sha256(file) for file in files)
    return Features(path, tuple(found), tuple(name.rpartition("/")[0] for name in found), hashes, take, None)
