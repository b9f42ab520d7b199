"""Safe writing and reading of HDF5 files: a full disk is an error, not a crash of the library; files are checked."""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import DamagedError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


CHUNK = 1024  # rows written at a time, and of a chunk of the file
OBJECTS = 64  # largest number of groups and datasets in a file; cosface writes fewer


class NewFile:
    """An HDF5 file of the oldest format, open for writing; use as a context manager. h5: the h5py file.

    While it is open, Ctrl-C takes effect in require_room: during a write the library would ignore it, or crash.
    """

    def __init__(self, path: Path) -> None:
        self._interrupts = _Interrupts()
        self._disk = _Disk(path)
        self.h5 = h5py.File(self._disk, "w", libver="earliest")

    def require_room(self) -> None:
        """Raises the OSError of an earlier write, and KeyboardInterrupt after Ctrl-C. Call it between chunks."""
        if self._disk.error is not None:
            raise self._disk.error
        if self._interrupts.waiting:
            raise KeyboardInterrupt

    def close(self) -> None:
        """Close the file. Raises OSError if not everything was written."""
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
    """Records Ctrl-C instead of raising KeyboardInterrupt. waiting: whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.waiting = False
        # only the main thread can set a handler, and a handler set by somebody else is not replaced
        in_main = threading.current_thread() is threading.main_thread()
        self._before = signal.getsignal(signal.SIGINT) if in_main else None
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._remember)

    def end(self) -> None:
        if self._before is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _remember(self, number: int, frame: object) -> None:
        self.waiting = True


class _Disk(io.RawIOBase):
    """A file whose writes always succeed for the HDF5 library, which crashes if a write fails while it closes.

    After the first error of the disk, `error` is set and the data that could not be written stays in memory.
    """

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

    def write(self, content: ReadableBuffer) -> int:
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

    def readinto(self, buffer: WriteableBuffer) -> int:
        target = memoryview(buffer).cast("B")
        start, stop = self._at, self._at + len(target)
        self._file.seek(start)
        count = self._file.readinto(target) or 0
        target[count:] = bytes(len(target) - count)
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
    """Make an empty dataset that extend can append to."""
    file.create_dataset(name, (0, *shape), kind, maxshape=(None, *shape), chunks=(chunk, *shape), track_times=False)


def extend(dataset: h5py.Dataset, values: NDArray[np.generic]) -> None:
    """Append values to a growing dataset."""
    before = dataset.shape[0]
    dataset.resize(before + len(values), axis=0)
    dataset[before:] = values


@contextmanager
def damage_errors(path: Path, hint: str) -> Iterator[None]:
    """Turn the exceptions of reading a damaged HDF5 file into DamagedError."""
    try:
        yield
    except (LookupError, ValueError, TypeError, AttributeError, OSError, RuntimeError, MemoryError) as error:
        words = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        raise DamagedError(f"damaged ({words})", path, hint) from error


def write_attribute(file: h5py.File, name: str, value: str | int | bool) -> None:
    """Write an attribute. Text has a fixed length: HDF5 can hang or crash on damaged strings of variable length."""
    if isinstance(value, str):
        content = value.encode("utf-8", "surrogateescape")
        file.attrs.create(name, content, dtype=h5py.string_dtype("utf-8", max(1, len(content))))
    else:
        file.attrs[name] = value


def read_attribute(file: h5py.File, name: str) -> str | int:
    """An attribute written by write_attribute. Raises ValueError for another type, without reading the value."""
    attribute = file.attrs.get_id(name)
    if attribute.shape != () or attribute.dtype.kind not in "Siub":
        raise ValueError(f"attribute {name} is not a text or a number")
    value = file.attrs[name]
    return bytes(value).decode("utf-8", "surrogateescape") if attribute.dtype.kind == "S" else int(value)


def require(file: h5py.File, name: str, kind: str, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless the file has a dataset of this name, type and shape."""
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.dtype(kind) or dataset.shape != shape:
        raise ValueError(f"{name} is not {kind} {shape}")


def check_plain(file: h5py.File, file_size: int) -> None:
    """Raises ValueError if an HDF5 file refers to other files, or declares more data than its size."""

    count = 0

    def walk(group: h5py.Group) -> None:
        nonlocal count
        for name in group:
            count += 1
            if count > OBJECTS:  # also if a group contains itself
                raise ValueError(f"more than {OBJECTS} groups and datasets")
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{name} is a soft or external link")
            item = group[name]
            if isinstance(item, h5py.Group):
                walk(item)
            elif isinstance(item, h5py.Dataset):
                if item.is_virtual or item.external:
                    raise ValueError(f"the data of {name} is in another file")
                if item.dtype.hasobject or item.size * item.dtype.itemsize > file_size:
                    raise ValueError(f"{name} declares more data than the file has")

    walk(file)
