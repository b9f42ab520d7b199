"""The data of each face beside its embedding, as columns of an HDF5 file.

Numbers are plain datasets. A text column is one blob of bytes with offsets. A column of texts that repeat is a code for
each row, and a table of the distinct texts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.hdf5 import CHUNK, damage_errors, extend, growing, require


@dataclass(frozen=True, slots=True, kw_only=True)
class FaceRow:
    """The row of one face in a store, beside its embedding."""

    source: str
    """Path of the photo or crop, relative to root, with forward slashes."""
    identity: str | None
    """First folder level of source; None if there is none."""
    root: str
    """Absolute path of the folder of photos or crops."""
    settings: str
    """Detector and settings that found the face."""
    face: int
    """Number of the face in the photo, from 1."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in photo pixels."""
    score: float
    """Detection score."""
    sharpness: float
    """Sharpness of the crop."""
    hash: str
    """SHA-256 of the file."""
    size: int = 0
    """Bytes of a photo; 0 for a crop file, which is identified by its hash alone."""
    mtime_ns: int = 0
    """Modification time of a photo; 0 for a crop file."""


# columns of numbers: name in the file, type, shape of a value
COLUMNS = (
    ("face", "<i4", ()),
    ("box", "<f4", (4,)),
    ("score", "<f4", ()),
    ("sharpness", "<f4", ()),
    ("hash", "u1", (32,)),
    ("size", "<i8", ()),
    ("mtime_ns", "<i8", ()),
)
TEXTS = ("source",)  # columns with one text for each row
CODED = ("identity", "root", "settings")  # columns of texts that repeat: a code for each row, -1 for none

SOURCE_KEY, FACE_KEY, KEY = 12, 20, 24  # lengths of the prefixes of Columns.keys: source, face, and the whole key


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Rows, column by column."""

    numbers: dict[str, NDArray[np.generic]]
    """Columns of COLUMNS, by name."""
    texts: dict[str, list[bytes]]
    """Columns of TEXTS, by name: one text for each row."""
    codes: dict[str, NDArray[np.int32]]
    """Columns of CODED, by name: (n,) indices into the table, -1 for none."""
    tables: dict[str, list[bytes]]
    """The distinct texts of the columns of CODED, by name."""

    @staticmethod
    def of(rows: Sequence[FaceRow]) -> Columns:
        """Rows as columns."""
        numbers = {
            name: np.array([_hash_bytes(row.hash) if name == "hash" else getattr(row, name) for row in rows], kind)
            for name, kind, _ in COLUMNS
        }
        codes, tables = {}, {}
        for name in CODED:
            table: dict[str, int] = {}
            values = [getattr(row, name) for row in rows]
            indices = [-1 if value is None else table.setdefault(value, len(table)) for value in values]
            codes[name] = np.array(indices, np.int32)
            tables[name] = [encode(text) for text in table]
        return Columns(numbers, {name: [encode(getattr(row, name)) for row in rows] for name in TEXTS}, codes, tables)

    def __len__(self) -> int:
        return len(self.numbers["face"])

    def select(self, mask: NDArray[np.bool_]) -> Columns:
        """The rows for which mask (n,) is true."""
        if mask.all():
            return self
        texts = {
            name: [text for text, selected in zip(column, mask, strict=True) if selected]
            for name, column in self.texts.items()
        }
        numbers = {name: values[mask] for name, values in self.numbers.items()}
        return Columns(numbers, texts, {name: codes[mask] for name, codes in self.codes.items()}, self.tables)

    def keys(self) -> NDArray[np.bytes_]:
        """Digests (n,) of KEY bytes, of numpy's type S. The first SOURCE_KEY bytes identify root and source, the first
        FACE_KEY bytes also face and file content, all bytes also settings and box."""
        digests = []
        texts = {name: [table[c] if c >= 0 else b"" for c in self.codes[name]] for name, table in self.tables.items()}
        for root, source, face, content, settings, box in zip(
            texts["root"],
            self.texts["source"],
            self.numbers["face"],
            self.numbers["hash"],
            texts["settings"],
            self.numbers["box"],
            strict=True,
        ):
            digests.append(_digest(root + b"\0" + source, SOURCE_KEY))
            digests.append(face_digest(int(face), content.tobytes()))
            digests.append(_digest(settings + b"\0" + box.tobytes(), KEY - FACE_KEY))
        return np.frombuffer(b"".join(digests), f"S{KEY}")

    def rows(self) -> Iterator[FaceRow]:
        """The rows one by one."""
        coded = {n: [decode(self.tables[n][c]) if c >= 0 else None for c in codes] for n, codes in self.codes.items()}
        for i in range(len(self)):
            yield FaceRow(
                source=decode(self.texts["source"][i]),
                identity=coded["identity"][i],
                root=coded["root"][i] or "",
                settings=coded["settings"][i] or "",
                face=int(self.numbers["face"][i]),
                box=tuple(float(v) for v in self.numbers["box"][i]),  # type: ignore[arg-type]
                score=float(self.numbers["score"][i]),
                sharpness=float(self.numbers["sharpness"][i]),
                hash=self.numbers["hash"][i].tobytes().hex(),
                size=int(self.numbers["size"][i]),
                mtime_ns=int(self.numbers["mtime_ns"][i]),
            )


class RowColumns:
    """The columns of an HDF5 file that is being written."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._tables: dict[str, dict[bytes, int]] = {name: {} for name in CODED}  # the code of each text
        self._ends = dict.fromkeys(TEXTS, 0)
        for name, kind, shape in COLUMNS:
            growing(file, name, kind, shape)
        for name in TEXTS:
            growing(file, f"{name}/bytes", "u1", (), 1 << 16)
            growing(file, f"{name}/offsets", "<i8", ())
            extend(file[f"{name}/offsets"], np.zeros(1, np.int64))
        for name in CODED:
            growing(file, f"{name}/codes", "<i4", ())

    def append(self, rows: Sequence[FaceRow] | Columns) -> None:
        """Append rows."""
        columns = rows if isinstance(rows, Columns) else Columns.of(rows)
        if not len(columns):
            return
        for name, _, _ in COLUMNS:
            extend(self._file[name], columns.numbers[name])
        for name in TEXTS:
            parts = columns.texts[name]
            ends = self._ends[name] + np.cumsum([len(part) for part in parts])
            self._ends[name] = int(ends[-1])
            extend(self._file[f"{name}/bytes"], np.frombuffer(b"".join(parts), np.uint8))
            extend(self._file[f"{name}/offsets"], ends)
        for name, table in self._tables.items():
            extend(self._file[f"{name}/codes"], _recoded(columns.codes[name], columns.tables[name], table))

    def finish(self) -> None:
        """Write the tables of the columns of CODED."""
        for name, table in self._tables.items():
            offsets = np.concatenate([[0], np.cumsum([len(part) for part in table])]).astype(np.int64)
            blob = np.frombuffer(b"".join(table), np.uint8)
            self._file.create_dataset(f"{name}/bytes", data=blob, track_times=False)
            self._file.create_dataset(f"{name}/offsets", data=offsets, track_times=False)


class RowReader:
    """The rows of an HDF5 file. len(): number of rows."""

    def __init__(self, file: h5py.File, count: int, hint: str) -> None:
        """hint: of errors. Raises DamagedError unless all columns have `count` rows."""
        self._file = file
        self._count = count
        self._hint = hint
        self._tables: dict[str, list[bytes]] = {}
        with damage_errors(Path(file.filename), hint):
            for name, kind, shape in COLUMNS:
                require(file, name, kind, (count, *shape))
            for name in CODED:
                require(file, f"{name}/codes", "<i4", (count,))
            for name in TEXTS:
                require(file, f"{name}/offsets", "<i8", (count + 1,))

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> FaceRow:
        return next(self.rows(number, number + 1))

    def rows(self, start: int, stop: int) -> Iterator[FaceRow]:
        """Rows start to stop (exclusive), read chunk by chunk. Raises DamagedError."""
        for low in range(start, stop, CHUNK):
            with damage_errors(Path(self._file.filename), self._hint):
                chunk = list(self._columns(low, min(low + CHUNK, stop)).rows())
            yield from chunk

    def columns(self, start: int, stop: int) -> Columns:
        """Rows start to stop (exclusive), column by column. Raises DamagedError."""
        with damage_errors(Path(self._file.filename), self._hint):
            return self._columns(start, stop)

    def _columns(self, low: int, high: int) -> Columns:
        codes = {name: self._file[f"{name}/codes"][low:high] for name in CODED}
        tables = {name: self._table(name) for name in CODED}
        if any(len(values) and int(values.max()) >= len(tables[name]) for name, values in codes.items()):
            raise ValueError("a code is not in its table")
        return Columns(
            numbers={name: self._file[name][low:high] for name, _, _ in COLUMNS},
            texts={name: self._texts(name, low, high) for name in TEXTS},
            codes=codes,
            tables=tables,
        )

    def _texts(self, name: str, low: int, high: int) -> list[bytes]:
        offsets = self._file[f"{name}/offsets"][low : high + 1]
        if (np.diff(offsets, prepend=0, append=self._file[f"{name}/bytes"].shape[0]) < 0).any():
            raise ValueError("offsets of texts are invalid")
        blob = self._file[f"{name}/bytes"][offsets[0] : offsets[-1]].tobytes()
        cuts = (offsets - offsets[0]).tolist()
        return [blob[a:b] for a, b in pairwise(cuts)]

    def _table(self, name: str) -> list[bytes]:
        if name not in self._tables:
            self._tables[name] = self._texts(name, 0, self._file[f"{name}/offsets"].shape[0] - 1)
        return self._tables[name]


def face_digest(face: int, content: bytes) -> bytes:
    """The part of Columns.keys that identifies a face: digest of its number in the file and of the file's SHA-256."""
    return _digest(face.to_bytes(4, "little", signed=True) + content, FACE_KEY - SOURCE_KEY)


def encode(text: str) -> bytes:
    """A text as UTF-8. Lone surrogates become the bytes that they were decoded from."""
    return text.encode("utf-8", "surrogateescape")


def decode(content: bytes) -> str:
    """The inverse of encode: bytes that are not UTF-8 become lone surrogates."""
    return content.decode("utf-8", "surrogateescape")


def _recoded(codes: NDArray[np.int32], table: list[bytes], target: dict[bytes, int]) -> NDArray[np.int32]:
    """Codes of `table` as codes of `target`. New texts are added to target in the order of the rows."""
    distinct, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    new = np.empty(len(distinct), np.int32)
    for at in np.argsort(first):
        code = int(distinct[at])
        new[at] = -1 if code < 0 else target.setdefault(table[code], len(target))
    return new[inverse]


def _hash_bytes(digest: str) -> NDArray[np.uint8]:
    return np.frombuffer(bytes.fromhex(digest), np.uint8)


def _digest(content: bytes, size: int) -> bytes:
    return hashlib.blake2b(content, digest_size=size).digest()
