"""The vectors of an index: a file that FAISS reads as IndexFlatIP, written block by block and mapped into memory.

After a head of 45 bytes come the vectors, float32, one behind the other. The head is checked to the byte before
anything is read, and the file must be as long as it says.
"""

from __future__ import annotations

import struct
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import DamagedError

# FAISS's index_write.cpp: fourcc, dimension, vectors, twice 2**20, trained, metric (0: inner product), numbers
_HEAD = struct.Struct("<4siqqq?iq")
MEND = "build it again: cosface index build"


def head(size: int, count: int) -> bytes:
    """What a file of `count` vectors of `size` numbers begins with."""
    return _HEAD.pack(b"IxFI", size, count, 1 << 20, 1 << 20, True, 0, count * size)


class VectorWriter:
    """Writes such a file; use as a context manager. count: vectors so far."""

    def __init__(self, path: Path, size: int) -> None:
        self.count = 0
        self._size = size
        self._file = path.open("wb", buffering=0)
        try:
            self._write(head(size, 0))
        except BaseException:
            self._file.close()
            raise

    def add(self, vectors: NDArray[np.float32]) -> None:
        """Append vectors (n, size)."""
        self._write(np.ascontiguousarray(vectors, "<f4").tobytes())
        self.count += len(vectors)

    def __enter__(self) -> VectorWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._file:
            if kind is None:
                self._file.seek(0)
                self._write(head(self._size, self.count))

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]


class VectorFile:
    """`count` vectors of `size` numbers in a file. path: where it lies; len(): how many."""

    def __init__(self, path: Path, size: int, count: int) -> None:
        """Raises DamagedError for a file that is anything else."""
        self.path, self.size = path, size
        want = head(size, count)
        try:
            with path.open("rb") as file:
                begins = file.read(len(want))
            found = path.stat().st_size
        except OSError as error:
            raise DamagedError(f"cannot be read ({error.strerror})", path, MEND) from error
        if begins != want or found != len(want) + count * size * 4:
            raise DamagedError(f"not the {count} vectors that the index has, or cut short", path, MEND)
        # as bytes: behind the head the numbers do not lie at multiples of their size
        self._bytes = (
            np.memmap(path, np.uint8, "r", len(want), (count, size * 4)) if count else np.zeros((0, size * 4), np.uint8)
        )

    def __len__(self) -> int:
        return len(self._bytes)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of these numbers (...,) as (..., size)."""
        return np.take(self._bytes, numbers, axis=0).view("<f4")

    def between(self, start: int, stop: int) -> NDArray[np.float32]:
        """Vectors start to stop."""
        return np.array(self._bytes[start:stop]).view("<f4")
