"""HDF5 files: a full disk is an error and no crash of the library, and a file from elsewhere is read with suspicion."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import DamagedError

CHUNK = 1024  # rows written at a time, and of a chunk of the file
OBJECTS = 64  # more groups and datasets than any file of ours has


class NewFile:
    """An HDF5 file of the oldest format that is being written: h5 is the library's own. Use as a context manager.

    While it is open Ctrl-C waits for the next chunk: in the midst of a write the library would swallow it, or crash.
    """

    def __init__(self, path: Path) -> None:
        self._interrupts = _Interrupts()
        self._disk = _Disk(path)
        self.h5 = h5py.File(self._disk, "w", libver="earliest")

    def require_room(self) -> None:
        """Raises the OSError that the disk answered to an earlier write, and KeyboardInterrupt for an earlier Ctrl-C.

        To be called between chunks.
        """
        if self._disk.error is not None:
            raise self._disk.error
        if self._interrupts.waiting:
            raise KeyboardInterrupt

    def close(self) -> None:
        """Raises OSError where not all was written."""
        try:
            self.h5.close()
            self._disk.close()
        finally:
            self._interrupts.end()
        self.require_room()

    def __enter__(self) -> NewFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            try:
                self.h5.close()
                self._disk.close()
            finally:
                self._interrupts.end()


class _Interrupts:
    """Remembers Ctrl-C instead of raising it. waiting: whether one came."""

    def __init__(self) -> None:
        self.waiting = False
        # only the main thread hears signals, and only where nobody else listens it is ours to
        own = threading.current_thread() is threading.main_thread()
        self._before = signal.getsignal(signal.SIGINT) if own else None
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._remember)

    def end(self) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _remember(self, number: int, frame: object) -> None:
        self.waiting = True


class _Disk(io.RawIOBase):
    """A file that never fails towards the HDF5 library, which crashes where a write fails while it closes: what the
    disk refuses is kept in memory until the writer has looked at `error`."""

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        self._file = path.open("w+b", buffering=0)
        self._at = self._size = 0
        self._refused: list[tuple[int, bytes]] = []

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, content: Any) -> int:
        rest = memoryview(content).cast("B")
        start, length = self._at, len(rest)
        self._size = max(self._size, start + length)
        if self.error is None:
            try:
                self._file.seek(start)
                while rest:
                    rest = rest[self._file.write(rest) :]
            except OSError as error:
                self.error = error
        if rest:
            self._refused.append((start + length - len(rest), bytes(rest)))
        self._at = start + length
        return length

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        start, stop = self._at, self._at + len(target)
        self._file.seek(start)
        found = self._file.readinto(target) or 0
        target[found:] = bytes(len(target) - found)
        for at, content in self._refused:
            low, high = max(start, at), min(stop, at + len(content))
            if low < high:
                target[low - start : high - start] = content[low - at : high - at]
        self._at = stop
        return len(target)

    def truncate(self, size: int | None = None) -> int:
        self._size = self._at if size is None else size
        if self.error is None:
            try:
                self._file.truncate(self._size)
            except OSError as error:
                self.error = error
        return self._size

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            self.error = self.error or error
        super().close()


def growing(file: h5py.File, name: str, kind: str, shape: tuple[int, ...], chunk: int = CHUNK) -> None:
    """Make an empty dataset that can be extended."""
    file.create_dataset(name, (0, *shape), kind, maxshape=(None, *shape), chunks=(chunk, *shape), track_times=False)


def extend(dataset: h5py.Dataset, values: NDArray[Any]) -> None:
    """Append values to a growing dataset."""
    before = dataset.shape[0]
    dataset.resize(before + len(values), axis=0)
    dataset[before:] = values


@contextmanager
def damage_errors(path: Path, hint: str) -> Iterator[None]:
    """Turn what h5py and the reading of a damaged HDF5 file raise into one line of error."""
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError, OSError, RuntimeError, MemoryError) as error:
        words = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        raise DamagedError(f"damaged ({words})", path, hint) from error


def write_attribute(file: h5py.File, name: str, value: str | int | bool) -> None:
    """Text is written at its own length: HDF5 can hang or crash on damaged strings of variable length."""
    if isinstance(value, str):
        content = value.encode("utf-8", "surrogateescape")
        file.attrs.create(name, content, dtype=h5py.string_dtype("utf-8", max(1, len(content))))
    else:
        file.attrs[name] = value


def read_attribute(file: h5py.File, name: str) -> str | int:
    """An attribute written by write_attribute. Raises ValueError for another kind, unread."""
    held = file.attrs.get_id(name)
    if held.shape != () or held.dtype.kind not in "Siub":
        raise ValueError(f"attribute {name} is no text or number")
    value = file.attrs[name]
    return bytes(value).decode("utf-8", "surrogateescape") if held.dtype.kind == "S" else int(value)


def require(file: h5py.File, name: str, kind: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless a file has that dataset."""
    found = file[name]
    if not isinstance(found, h5py.Dataset) or found.dtype != np.dtype(kind) or found.shape != shape:
        raise ValueError(f"{name} is not {kind} {shape}")


def check_plain(file: h5py.File, file_size: int) -> None:
    """Raises ValueError where an HDF5 file points out of itself or declares more data than it holds."""

    seen = 0

    def walk(group: h5py.Group) -> None:
        nonlocal seen
        for name in group:
            seen += 1
            if seen > OBJECTS:  # also where a group holds itself
                raise ValueError("it holds too much")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{name} is a link to elsewhere")
            found = group[name]
            if isinstance(found, h5py.Group):
                walk(found)
            elif isinstance(found, h5py.Dataset):
                if found.is_virtual or found.external:
                    raise ValueError(f"{name} keeps its data elsewhere")
                if found.dtype.hasobject or found.size * found.dtype.itemsize > file_size:
                    raise ValueError(f"{name} declares more than the file holds")

    walk(file)
