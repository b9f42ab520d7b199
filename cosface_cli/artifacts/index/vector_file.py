"""The vectors of an index: a NumPy file (.npy, version 1.0), written block by block and mapped into memory.

Its head has 128 bytes whatever it says, so that it can be written last, and the numbers lie as processors like them. It
is checked to the byte before anything is read, and the file must be as long as it says.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import DamagedError

REBUILD_HINT = "build it again: cosface index build"
_HEAD = 128


def head(size: int, count: int) -> bytes:
    """What a file of `count` vectors of `size` numbers begins with."""
    start = b"\x93NUMPY\x01\x00" + (_HEAD - 10).to_bytes(2, "little")
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {size}), }}"
    return start + text.ljust(_HEAD - 11).encode() + b"\n"


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
    """`count` vectors of `size` numbers in a file. path: where it lies; array: (count, size), mapped; len(): how
    many."""

    def __init__(self, path: Path, size: int, count: int) -> None:
        """Raises DamagedError for a file that is anything else."""
        self.path, self.size = path, size
        want = head(size, count)
        try:
            with path.open("rb") as file:
                self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            words = error.strerror if isinstance(error, OSError) else error
            raise DamagedError(f"cannot be read ({words})", path, REBUILD_HINT) from error
        if self._pages[: len(want)] != want or len(self._pages) != len(want) + count * size * 4:
            raise DamagedError(f"not the {count} vectors that the index has, or cut short", path, REBUILD_HINT)
        self.array: NDArray[np.float32] = np.frombuffer(self._pages, "<f4", offset=_HEAD).reshape(count, size)

    def __len__(self) -> int:
        return len(self.array)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors of these numbers (...,) as (..., size)."""
        return np.asarray(np.take(self.array, numbers, axis=0))

    def let_go(self) -> None:
        """Give back the memory that the pages read so far are mapped to: they are read again where they are needed."""
        self._pages.madvise(mmap.MADV_DONTNEED)

    def between(self, start: int, stop: int) -> NDArray[np.float32]:
        """Vectors start to stop."""
        return np.array(self.array[start:stop])
