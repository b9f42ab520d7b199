"""Files that are either the old one or the new one, and locks that die with their holder."""

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
    """Where the new content of path grows: one fixed name, so that a killed run leaves nothing for ever."""
    name = f".{path.name}.part"
    if len(os.fsencode(name)) > _LONGEST_NAME:  # the file's own name is allowed to be that long
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}.part"
    return path.with_name(name)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path to write to; on success it takes the place of `path`, on any error it is removed."""
    temp = partial(path)
    try:
        yield temp
        temp.replace(path)
    except BaseException:
        with suppress(OSError):
            temp.unlink()
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write content to path, whole or not at all. Raises CosfaceError naming path where that fails."""
    with write_errors(path), replacing(path) as temp:
        temp.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write text (UTF-8; bytes of undecodable file names pass through) to path, whole or not at all."""
    write_bytes(path, content.encode("utf-8", "surrogateescape"))


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into one-line errors that name path and the mend."""
    hints = {
        errno.ENOSPC: ("the disk is full", "free some space and run the same command again"),
        errno.EDQUOT: ("the disk quota is used up", "free some space and run the same command again"),
        errno.EFBIG: ("the file grew over the size limit of this shell", "raise it with ulimit -f"),
        errno.EROFS: ("the file system is read-only", "choose another place to write to"),
        errno.EACCES: ("permission denied", "choose another place, or change its permissions"),
        errno.EPERM: ("permission denied", "choose another place, or change its permissions"),
        errno.ENOENT: ("no such folder to write to", "make it first"),
        errno.ENOTDIR: ("a file stands where a folder is needed", "choose another place to write to"),
        errno.EEXIST: ("a file stands where a folder is needed", "choose another place to write to"),
        errno.EISDIR: ("a folder stands where a file is to be written", "choose another place to write to"),
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
    """Hold the one writer's lock of path; the kernel lets it go when its holder dies.

    Raises BusyError if another process holds it for longer than wait_seconds.
    """
    name = path.with_name(f".{path.name}.lock")
    deadline = time.monotonic() + wait_seconds
    while True:
        with write_errors(path):
            handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the last holder may have unlinked the name between our open and our lock
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
