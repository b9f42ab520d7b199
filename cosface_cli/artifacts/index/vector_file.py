"""The vectors of an index: a NumPy file (.npy, version 1.0), written block by block and mapped into memory.

The header always has 128 bytes, so that it can be written last and the numbers are aligned. Before anything is read,
the header is compared byte by byte with the expected one, and so is the length of the file.
"""

from __future__ import annotations

import mmap
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import DamagedError

REBUILD_HINT = "build it again: cosface index build"
_HEADER = 128  # bytes


def npy_header(size: int, count: int) -> bytes:
    """The header of a file of `count` vectors of `size` numbers."""
    start = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {size}), }}"
    return start + text.ljust(_HEADER - 11).encode() + b"\n"


class VectorWriter:
    """Writes such a file; use as a context manager. count: number of vectors written so far."""

    def __init__(self, path: Path, size: int) -> None:
        self.count = 0
        self._size = size
        self._file = path.open("wb", buffering=0)
        try:
            self._write(npy_header(size, 0))
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
                self._write(npy_header(self._size, self.count))

    def _write(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]


class VectorFile:
    """A file of `count` vectors of `size` numbers. array: (count, size) float32, mapped into memory; len(): count."""

    def __init__(self, path: Path, size: int, count: int) -> None:
        """Raises DamagedError if the file is missing, or has other content or another length."""
        self.path, self.size = path, size
        header = npy_header(size, count)
        try:
            with path.open("rb") as file:
                self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # an empty file cannot be mapped
            words = error.strerror if isinstance(error, OSError) else error
            raise DamagedError(f"cannot be read ({words})", path, REBUILD_HINT) from error
        if self._pages[: len(header)] != header or len(self._pages) != len(header) + count * size * 4:
            raise DamagedError(f"damaged: not {count} vectors of {size} numbers", path, REBUILD_HINT)
        self.array: NDArray[np.float32] = np.frombuffer(self._pages, "<f4", offset=_HEADER).reshape(count, size)

    def __len__(self) -> int:
        return len(self.array)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors with these row numbers (...,), as (..., size)."""
        return np.asarray(np.take(self.array, numbers, axis=0))

    def release_pages(self) -> None:
        """Release the memory of the pages that were read so far. They are read from the file again when needed."""
        self._pages.madvise(mmap.MADV_DONTNEED)

    def block(self, start: int, stop: int) -> NDArray[np.float32]:
        """Vectors start to stop (exclusive), copied."""
        return np.array(self.array[start:stop])
