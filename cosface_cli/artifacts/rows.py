"""Rows: what is known of each face, as columns of an HDF5 file.

Numbers are plain datasets; names are one blob of bytes with offsets, or, where they repeat, a code into such a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.hdf5 import CHUNK, damage_told, extend, growing, require


@dataclass(frozen=True, slots=True)
class Row:
    """What a store says of one embedding. source: relative to root, forward slashes; identity: its first folder level;
    root: the folder, absolute; settings: how the face was found; face: 1 for the first of the photo; box: left, top,
    right, bottom in photo pixels; score: the detector's; sharpness: of the crop; hash: SHA-256 of the file;
    size, mtime_ns: of a photo, 0 for a crop file, which only its hash tells."""

    source: str
    identity: str | None
    root: str
    settings: str
    face: int
    box: tuple[float, float, float, float]
    score: float
    sharpness: float
    hash: str
    size: int = 0
    mtime_ns: int = 0


# name in the file, type, columns: what is kept of each row as a number
_COLUMNS = (
    ("face", "<i4", ()),
    ("box", "<f4", (4,)),
    ("score", "<f4", ()),
    ("sharpness", "<f4", ()),
    ("hash", "u1", (32,)),
    ("size", "<i8", ()),
    ("mtime_ns", "<i8", ()),
)
_TEXTS = ("source",)  # one string a row
_CODED = ("identity", "root", "settings")  # strings that repeat: a code a row, -1 for none


class RowColumns:
    """The columns of an HDF5 file that is being written."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._codes: dict[str, dict[str, int]] = {name: {} for name in _CODED}
        self._ends = dict.fromkeys(_TEXTS, 0)
        for name, kind, shape in _COLUMNS:
            growing(file, name, kind, shape)
        for name in _TEXTS:
            growing(file, f"{name}/bytes", "u1", (), 1 << 16)
            growing(file, f"{name}/offsets", "<i8", ())
            extend(file[f"{name}/offsets"], np.zeros(1, np.int64))
        for name in _CODED:
            growing(file, f"{name}/codes", "<i4", ())

    def append(self, rows: Sequence[Row]) -> None:
        """Write some rows behind the others."""
        for name, kind, _ in _COLUMNS:
            numbers = [_hash_bytes(row.hash) if name == "hash" else getattr(row, name) for row in rows]
            extend(self._file[name], np.array(numbers, dtype=kind))
        for name in _TEXTS:
            parts = [_encode(getattr(row, name)) for row in rows]
            ends = self._ends[name] + np.cumsum([len(part) for part in parts])
            self._ends[name] = int(ends[-1])
            extend(self._file[f"{name}/bytes"], np.frombuffer(b"".join(parts), np.uint8))
            extend(self._file[f"{name}/offsets"], ends)
        for name, known in self._codes.items():
            values = [getattr(row, name) for row in rows]
            codes = [-1 if value is None else known.setdefault(value, len(known)) for value in values]
            extend(self._file[f"{name}/codes"], np.array(codes, np.int32))

    def finish(self) -> None:
        """Write the tables of the names that repeat."""
        for name, known in self._codes.items():
            parts = [_encode(text) for text in known]
            offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
            blob = np.frombuffer(b"".join(parts), np.uint8)
            self._file.create_dataset(f"{name}/bytes", data=blob, track_times=False)
            self._file.create_dataset(f"{name}/offsets", data=offsets, track_times=False)


class RowReader:
    """The rows of an HDF5 file. len(): how many."""

    def __init__(self, file: h5py.File, count: int, mend: str) -> None:
        """mend: what errors say is to be done. Raises DamagedError where the columns are not all `count` long."""
        self._file = file
        self._count = count
        self._mend = mend
        self._tables: dict[str, list[str]] = {}
        with damage_told(Path(file.filename), mend):
            for name, kind, shape in _COLUMNS:
                require(file, name, kind, (count, *shape))
            for name in _CODED:
                require(file, f"{name}/codes", "<i4", (count,))
            for name in _TEXTS:
                require(file, f"{name}/offsets", "<i8", (count + 1,))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> Row:
        return next(self.between(number, number + 1))

    def between(self, start: int, stop: int) -> Iterator[Row]:
        """Rows start to stop, read chunk by chunk. Raises DamagedError."""
        for low in range(start, stop, CHUNK):
            with damage_told(Path(self._file.filename), self._mend):
                chunk = list(self._chunk(low, min(low + CHUNK, stop)))
            yield from chunk

    def _chunk(self, low: int, high: int) -> Iterator[Row]:
        columns = {name: self._file[name][low:high] for name, _, _ in _COLUMNS}
        texts = {name: self._texts(name, low, high) for name in _TEXTS}
        codes = {name: self._file[f"{name}/codes"][low:high] for name in _CODED}
        coded = {name: [self._table(name)[c] if c >= 0 else None for c in codes[name]] for name in _CODED}
        for i in range(high - low):
            yield Row(
                source=texts["source"][i],
                identity=coded["identity"][i],
                root=coded["root"][i] or "",
                settings=coded["settings"][i] or "",
                face=int(columns["face"][i]),
                box=tuple(float(v) for v in columns["box"][i]),  # type: ignore[arg-type]
                score=float(columns["score"][i]),
                sharpness=float(columns["sharpness"][i]),
                hash=columns["hash"][i].tobytes().hex(),
                size=int(columns["size"][i]),
                mtime_ns=int(columns["mtime_ns"][i]),
            )

    def _texts(self, name: str, low: int, high: int) -> list[str]:
        offsets = self._file[f"{name}/offsets"][low : high + 1]
        if (np.diff(offsets, prepend=0, append=self._file[f"{name}/bytes"].shape[0]) < 0).any():
            raise ValueError("its names overlap")
        blob = self._file[f"{name}/bytes"][offsets[0] : offsets[-1]].tobytes()
        cuts = offsets - offsets[0]
        return [_decode(blob[a:b]) for a, b in pairwise(cuts)]

    def _table(self, name: str) -> list[str]:
        if name not in self._tables:
            self._tables[name] = self._texts(name, 0, self._file[f"{name}/offsets"].shape[0] - 1)
        return self._tables[name]


def _hash_bytes(digest: str) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(digest), np.uint8)


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _decode(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
