"""The rows of a segment of an index: columns of an HDF5 file, each contiguous and mapped into memory.

So a file of a million rows opens at once, and a row is read without reading others.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.hdf5 import (
    CHUNK,
    NewFile,
    check_plain,
    damage_errors,
    extend,
    growing,
    write_attribute,
)
from cosface_cli.artifacts.index.vector_file import REBUILD_HINT
from cosface_cli.artifacts.store.face_rows import CODED, COLUMNS, KEY, TEXTS, Columns, FaceRow, RowColumns, decode
from cosface_cli.errors import DamagedError

RowSummary = tuple[str | None, str, int, list[float]]  # identity, source, face, box to a tenth of a pixel

_SLAB = 1 << 20  # bytes copied at a time


class RowsWriter:
    """Writes the rows of a segment; use as a context manager. count: number of rows written so far.

    The rows are appended to a temporary file, `loose`. At the end each column is copied in one piece to `path`.
    """

    def __init__(self, loose: Path, path: Path) -> None:
        self.count = 0
        self._loose, self._path = loose, path
        self._new = NewFile(loose)
        self._columns = RowColumns(self._new.h5)
        growing(self._new.h5, "id", "<i8", ())
        growing(self._new.h5, "key", "u1", (KEY,))

    def add(self, columns: Columns, ids: NDArray[np.int64], keys: NDArray[np.bytes_]) -> None:
        """Append rows with their ids, ascending, and keys (see Columns.keys)."""
        if len(columns):
            self._columns.append(columns)
            extend(self._new.h5["id"], ids)
            extend(self._new.h5["key"], np.ascontiguousarray(keys).view(np.uint8).reshape(-1, KEY))
            self.count += len(columns)
        self._new.require_room()

    def __enter__(self) -> RowsWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            try:
                self._columns.finish()
            except BaseException as late:
                self._new.__exit__(type(late), late, None)
                raise
        self._new.__exit__(kind, error, at)
        if kind is None:
            with NewFile(self._path) as packed:
                with h5py.File(self._loose, "r", locking=False) as loose:
                    _pack(loose, packed)
                write_attribute(packed.h5, "kind", "cosface index rows")
                write_attribute(packed.h5, "rows", self.count)
            self._loose.unlink()


def _pack(loose: h5py.File, packed: NewFile) -> None:
    """Copy every dataset to a contiguous dataset."""
    names: list[str] = []
    loose.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    for name in names:
        old = loose[name]
        new = packed.h5.create_dataset(name, old.shape, old.dtype, track_times=False)
        step = max(1, _SLAB // (old.dtype.itemsize * int(np.prod(old.shape[1:]))))
        for low in range(0, old.shape[0], step):
            new[low : low + step] = old[low : low + step]
            packed.require_room()


class IndexRows:
    """The rows of a segment. len(): number of rows N; ids: (N,) ascending; keys: (N,), see Columns.keys; hashes:
    (N, 32) and faces: (N,) identify each face; times: (N,) of modification, ns; identity_codes: (N,), -1 for none."""

    def __init__(self, path: Path, count: int) -> None:
        """Raises DamagedError for a file that is missing, damaged or of another kind."""
        self.path = path
        self._count = count
        self._tables: dict[str, list[bytes]] = {}
        with damage_errors(path, REBUILD_HINT):
            length = path.stat().st_size
            data = np.memmap(path, np.uint8, "r").view(np.ndarray)  # a plain array is faster
            with h5py.File(path, "r", locking=False) as file:
                check_plain(file, length)
                self._numbers = {name: _mapped(file, data, name, kind, (count, *s)) for name, kind, s in COLUMNS}
                self._codes = {name: _mapped(file, data, f"{name}/codes", "<i4", (count,)) for name in CODED}
                self._ends = {name: _mapped(file, data, f"{name}/offsets", "<i8", None) for name in (*TEXTS, *CODED)}
                self._blobs = {name: _mapped(file, data, f"{name}/bytes", "u1", None) for name in (*TEXTS, *CODED)}
                self.ids: NDArray[np.int64] = _mapped(file, data, "id", "<i8", (count,))
                keys = _mapped(file, data, "key", "u1", (count, KEY))
            if any(len(self._ends[name]) != count + 1 for name in TEXTS):
                raise ValueError("names are missing")
        self.keys: NDArray[np.bytes_] = keys.view(f"S{KEY}").reshape(-1)
        self.hashes: NDArray[np.uint8] = self._numbers["hash"]
        self.faces: NDArray[np.int32] = self._numbers["face"]
        self.times: NDArray[np.int64] = self._numbers["mtime_ns"]
        self.identity_codes: NDArray[np.int32] = self._codes["identity"]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[FaceRow]:
        for low in range(0, self._count, CHUNK):
            yield from self.columns(low, min(low + CHUNK, self._count)).rows()

    def __getitem__(self, number: int) -> FaceRow:
        numbers = self._numbers
        left, top, right, bottom = numbers["box"][number].tolist()
        return FaceRow(
            source=decode(self._text("source", number)),
            identity=self.identity(number),
            root=self._coded("root", number) or "",
            settings=self._coded("settings", number) or "",
            face=int(numbers["face"][number]),
            box=(left, top, right, bottom),
            score=float(numbers["score"][number]),
            sharpness=float(numbers["sharpness"][number]),
            hash=numbers["hash"][number].tobytes().hex(),
            size=int(numbers["size"][number]),
            mtime_ns=int(numbers["mtime_ns"][number]),
        )

    def identity(self, number: int) -> str | None:
        """The identity of a row."""
        return self._coded("identity", number)

    def summaries(self, numbers: NDArray[np.int64]) -> list[RowSummary]:
        """The fields of rows (n,) that search results show; faster than reading each as a FaceRow."""
        ends, blob = self._ends["source"], self._blobs["source"]
        cuts = list(zip(ends[numbers].tolist(), ends[numbers + 1].tolist(), strict=True))
        if any(not 0 <= low <= high <= len(blob) for low, high in cuts):
            raise self._damaged()
        names = [decode(blob[low:high].tobytes()) for low, high in cuts]
        codes = self.identity_codes[numbers].tolist()
        identities = {code: None if code < 0 else decode(self._text("identity", code)) for code in set(codes)}
        boxes = self._numbers["box"][numbers].astype(np.float64).round(1).tolist()
        return list(zip([identities[code] for code in codes], names, self.faces[numbers].tolist(), boxes, strict=True))

    def table(self, name: str) -> list[bytes]:
        """The table of a coded column (identity, root or settings), in the order of the codes."""
        if name not in self._tables:
            self._tables[name] = self._texts(name, 0, len(self._ends[name]) - 1)
        return self._tables[name]

    def columns(self, start: int, stop: int) -> Columns:
        """Rows start to stop (exclusive), column by column. Raises DamagedError."""
        tables = {name: self.table(name) for name in CODED}
        codes = {name: np.array(self._codes[name][start:stop]) for name in CODED}
        if any(len(values) and int(values.max()) >= len(tables[name]) for name, values in codes.items()):
            raise self._damaged()
        numbers = {name: np.array(self._numbers[name][start:stop]) for name, _, _ in COLUMNS}
        return Columns(numbers, {name: self._texts(name, start, stop) for name in TEXTS}, codes, tables)

    def sources(self, start: int, stop: int) -> list[bytes]:
        """The sources of rows start to stop (exclusive)."""
        return self._texts("source", start, stop)

    def _coded(self, name: str, number: int) -> str | None:
        code = int(self._codes[name][number])
        return None if code < 0 else decode(self._text(name, code))

    def _text(self, name: str, number: int) -> bytes:
        ends, blob = self._ends[name], self._blobs[name]
        if number + 1 >= len(ends):
            raise self._damaged()
        low, high = ends[number : number + 2].tolist()
        if not 0 <= low <= high <= len(blob):
            raise self._damaged()
        return bytes(blob[low:high].tobytes())

    def _texts(self, name: str, start: int, stop: int) -> list[bytes]:
        ends, blob = np.array(self._ends[name][start : stop + 1]), self._blobs[name]
        if not len(ends) or (np.diff(ends, prepend=0, append=len(blob)) < 0).any():
            raise self._damaged()
        content = blob[ends[0] : ends[-1]].tobytes()
        return [content[a:b] for a, b in pairwise((ends - ends[0]).tolist())]

    def _damaged(self) -> DamagedError:
        return DamagedError("damaged (invalid offsets or codes of texts)", self.path, REBUILD_HINT)


def _mapped(file: h5py.File, data: NDArray[np.uint8], name: str, kind: str, shape: tuple[int, ...] | None) -> Any:
    """A dataset as an array over the file's bytes. shape: None for any length. Raises ValueError for another type or
    shape, and if the dataset is not contiguous."""
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.dtype(kind) or shape not in (None, dataset.shape):
        raise ValueError(f"{name} is not {kind} {shape}")
    if dataset.ndim != (1 if shape is None else len(shape)):
        raise ValueError(f"{name} is not one-dimensional {kind}")
    if dataset.size == 0:
        return np.zeros(dataset.shape, kind)
    offset = dataset.id.get_offset()
    length = dataset.size * dataset.dtype.itemsize
    if offset is None or offset < 0 or offset + length > len(data):
        raise ValueError(f"{name} is not contiguous")
    return data[offset : offset + length].view(kind).reshape(dataset.shape)
