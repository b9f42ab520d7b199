"""The embedding store: one HDF5 file, written as a whole and renamed into place, never changed in place.

artifacts/README.md specifies it. It uses HDF5's oldest format and plain datasets only. A file is checked before it is
read: links to other files and false sizes are refused.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.files.hdf5 import (
    CHUNK,
    NewFile,
    check_plain,
    damage_errors,
    extend,
    growing,
    read_attribute,
    require,
    write_attribute,
)
from cosface_cli.artifacts.model_identity import Flip, ModelIdentity, Precision, as_flip, as_precision
from cosface_cli.artifacts.store.face_rows import Columns, FaceRow, RowColumns, RowReader, decode
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.unit_vectors import are_unit, lengths
from cosface_cli.outcomes import Rejected

SCHEMA = 1
KIND = "cosface embedding store"
SIGNATURE = b"\x89HDF\r\n\x1a\n"  # first bytes of an HDF5 file
_HINT = "embed again into a new store"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreHeader:
    """The model of a store's embeddings, and how it was applied."""

    model: str
    """Name of the model."""
    model_id: str
    """Hash of everything that decides its vectors."""
    template: str
    """Geometry of the crops that the model takes."""
    flip: Flip
    """none, sum or concat."""
    size: int
    """Dimension D of an embedding."""
    precision: Precision = "fp32"
    """Number format of the network: fp32, fp16 or bf16."""

    @property
    def identity(self) -> ModelIdentity:
        """The model whose embeddings the store holds."""
        return ModelIdentity(
            name=self.model,
            id=self.model_id,
            template=self.template,
            flip=self.flip,
            size=self.size,
            precision=self.precision,
        )


def write_store(
    path: Path,
    header: StoreHeader,
    rows: Iterable[tuple[FaceRow, NDArray[np.float32]]],
    rejects: Sequence[dict[str, object]],
) -> int:
    """Write rows with their unit vectors (D,) to path, whole or not at all. Returns the number of rows.

    rejects: the photos and crops without an embedding. The same rows give the same bytes. Memory holds one chunk.
    """
    with atomic.write_errors(path), atomic.replacing(path) as temp, NewFile(temp) as new:
        return _write(new, header, rows, rejects)


def _write(
    new: NewFile,
    header: StoreHeader,
    rows: Iterable[tuple[FaceRow, NDArray[np.float32]]],
    rejects: Sequence[dict[str, object]],
) -> int:
    file = new.h5
    growing(file, "embeddings", "<f4", (header.size,))
    columns = RowColumns(file)
    count = 0
    for chunk in chunked(rows):
        extend(file["embeddings"], np.stack([vector for _, vector in chunk]))
        columns.append([row for row, _ in chunk])
        count += len(chunk)
        new.require_room()
    columns.finish()
    text = "".join(json.dumps(reject, sort_keys=True) + "\n" for reject in rejects).encode()
    file.create_dataset("rejects", data=np.frombuffer(text, np.uint8), track_times=False)
    attributes = {"kind": KIND, "schema": SCHEMA, **asdict(header), "normalized": True, "rows": count}
    for name, value in attributes.items():
        write_attribute(file, name, value)
    return count


def chunked(rows: Iterable[tuple[FaceRow, NDArray[np.float32]]]) -> Iterator[list[tuple[FaceRow, NDArray[np.float32]]]]:
    """The rows in lists of at most CHUNK."""
    rest = iter(rows)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


class Store:
    """A store open for reading. len(): number of rows; use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Raises CosfaceError for a missing file, another kind of file or a newer schema; DamagedError for damage."""
        self.path = path
        if path.is_dir():
            raise CosfaceError("this is a folder, not a store", path, "give a file written by cosface embed")
        if not path.is_file():
            raise CosfaceError("no such store", path, "make one: cosface embed ALIGNED " + str(path))
        try:
            with path.open("rb") as file:
                signature = file.read(len(SIGNATURE))
        except OSError as error:
            raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
        if signature != SIGNATURE:
            raise CosfaceError("not a store (not an HDF5 file)", path, "give a file written by cosface embed")
        with damage_errors(path, _HINT):
            self._file = h5py.File(path, "r", locking=False)
            try:
                self._check()
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def __len__(self) -> int:
        return len(self._columns)

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Embeddings (stop - start, D) float32, as stored. Raises DamagedError, as all methods that read."""
        with damage_errors(self.path, _HINT):
            return np.asarray(self._file["embeddings"][start:stop], dtype=np.float32)

    def blocks(self, size: int = CHUNK) -> Iterator[StoreBlock]:
        """All rows in order, `size` at a time. A column of a block is read only when it is used."""
        for start in range(0, len(self), size):
            yield StoreBlock(self, start, min(start + size, len(self)))

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[FaceRow]:
        """Rows start to stop (exclusive) without their vectors, read chunk by chunk."""
        return self._columns.rows(start, len(self) if stop is None else stop)

    def columns(self, start: int, stop: int) -> Columns:
        """Rows start to stop (exclusive), column by column."""
        return self._columns.columns(start, stop)

    def pairs(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[FaceRow, NDArray[np.float32]]]:
        """Rows with their vectors (D,), read chunk by chunk."""
        stop = len(self) if stop is None else stop
        rows = self.rows(start, stop)
        for low in range(start, stop, CHUNK):
            for vector in self.vectors(low, min(low + CHUNK, stop)):
                yield next(rows), vector

    def counts(self) -> tuple[int, int]:
        """The number of identities, and the number of sources with an embedding."""
        with damage_errors(self.path, _HINT):
            identities = self._file["identity/offsets"].shape[0] - 1
            faces = self._file["face"]
            parts = (faces[low : low + CHUNK] for low in range(0, len(self), CHUNK))
            return identities, sum(int((part == 1).sum()) for part in parts)

    def rejects(self) -> list[dict[str, Any]]:
        """The photos and crops without an embedding."""
        with damage_errors(self.path, _HINT):
            return [dict(json.loads(text)) for text in bytes(self._file["rejects"][:]).splitlines()]

    def _check(self) -> None:
        file = self._file
        if "kind" not in file.attrs or read_attribute(file, "kind") != KIND:
            raise CosfaceError("not a cosface embedding store", self.path, "give a file written by cosface embed")
        if int(read_attribute(file, "schema")) > SCHEMA:
            raise CosfaceError("this store was written by a newer cosface", self.path, "pip install -U cosface")
        check_plain(file, os.path.getsize(self.path))  # noqa: PTH202
        count, size = file["embeddings"].shape
        require(file, "embeddings", "<f4", (int(read_attribute(file, "rows")), size))
        self._columns = RowReader(file, count, _HINT)
        texts = {name: str(read_attribute(file, name)) for name in ("model", "model_id", "template")}
        precision = str(read_attribute(file, "precision")) if "precision" in file.attrs else "fp32"
        flip = as_flip(str(read_attribute(file, "flip")))
        self.header = StoreHeader(**texts, flip=flip, size=size, precision=as_precision(precision))
        self.model = self.header.identity


class StoreBlock:
    """Successive rows of a store, start to stop (exclusive). Each column is read when it is first used.

    Reading raises DamagedError, as in Store.
    """

    def __init__(self, store: Store, start: int, stop: int) -> None:
        self.start, self.stop = start, stop
        self._store = store

    def __len__(self) -> int:
        return self.stop - self.start

    @cached_property
    def columns(self) -> Columns:
        """The rows, column by column."""
        return self._store.columns(self.start, self.stop)

    @cached_property
    def rows(self) -> list[FaceRow]:
        """The rows, one by one."""
        return list(self.columns.rows())

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """Embeddings (n, D), as stored. Those that are not `unit` cannot be compared."""
        return self._store.vectors(self.start, self.stop)

    @cached_property
    def unit(self) -> NDArray[np.bool_]:
        """Which embeddings (n,) have unit length, within maths.unit_vectors.TOLERANCE."""
        return are_unit(self.vectors)

    def rejected(self, wanted: NDArray[np.bool_] | None = None) -> Iterator[Rejected]:
        """An outcome for each embedding that is not of unit length, among the wanted (n,) rows."""
        bad = ~self.unit if wanted is None else ~self.unit & wanted
        for number in np.flatnonzero(bad):
            source = decode(self.columns.texts["source"][number])
            length = lengths(self.vectors[number : number + 1])[0]
            problem = f"the embedding of {source} has length {length:g}, expected 1"
            yield Rejected(source, "bad_embedding", f"{self._store.path}: {problem}; embed it again")
