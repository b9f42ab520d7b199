"""Files that are replaced as a whole, and locks that end with their process."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cosface_cli.errors import BusyError, CosfaceError

_LONGEST_NAME = 255  # bytes, of every file system in use


def partial(path: Path) -> Path:
    """The temporary file for the new content of path. The name is fixed, so the next run overwrites a leftover."""
    name = f".{path.name}.part"
    if len(os.fsencode(name)) > _LONGEST_NAME:  # the file's own name is allowed to be that long
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}.part"
    return path.with_name(name)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path to write to. On success it replaces `path`; on any error it is removed."""
    temp = partial(path)
    try:
        yield temp
        temp.replace(path)
    except BaseException:
        with suppress(OSError):
            temp.unlink()
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write content to path, whole or not at all. Raises CosfaceError naming path if that fails."""
    with write_errors(path), replacing(path) as temp:
        temp.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write text as UTF-8 to path, whole or not at all. Lone surrogates become the bytes that they were read from."""
    write_bytes(path, content.encode("utf-8", "surrogateescape"))


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's write errors into CosfaceErrors that name path and what to do."""
    hints = {
        errno.ENOSPC: ("the disk is full", "free some space and run the same command again"),
        errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
        errno.EFBIG: ("the file exceeds the size limit of this shell", "raise the limit with ulimit -f"),
        errno.EROFS: ("the file system is read-only", "choose another place to write to"),
        errno.EACCES: ("permission denied", "choose another place, or change its permissions"),
        errno.EPERM: ("permission denied", "choose another place, or change its permissions"),
        errno.ENOENT: ("no such folder to write to", "make it first"),
        errno.ENOTDIR: ("a folder is needed, but this is a file", "choose another place to write to"),
        errno.EEXIST: ("a folder is needed, but this is a file", "choose another place to write to"),
        errno.EISDIR: ("a file is needed, but this is a folder", "choose another place to write to"),
        errno.ENAMETOOLONG: ("the file name is too long", "choose a shorter one"),
        errno.EIO: ("the disk could not be written", "look at the system's log"),
    }
    try:
        yield
    except OSError as error:
        if error.errno not in hints:
            raise
        problem, hint = hints[error.errno]
        named = error.filename if error.filename != str(partial(path)) else None
        raise CosfaceError(problem, named or path, hint) from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents. Raises CosfaceError naming path."""
    with write_errors(path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def lock(path: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock of path, which only one process can hold; the kernel releases it when the process ends.

    Raises BusyError if another process holds it for longer than wait_seconds.
    """
    name = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + wait_seconds
    while True:
        with write_errors(path):
            handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the previous holder may have removed the file between our open and our lock
            if os.fstat(handle).st_nlink > 0:
                break
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(handle)
                raise BusyError(
                    "another cosface is writing there", path, "wait for it to end, or write to another place"
                ) from None
            time.sleep(0.05)
        os.close(handle)
    try:
        yield
    finally:
        with suppress(OSError):
            name.unlink()
        os.close(handle)
