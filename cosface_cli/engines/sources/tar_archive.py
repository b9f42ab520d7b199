"""The photos of a tar: one pass over its headers, then each member is read by its offset.

A compressed tar cannot be read by offsets. That pass unpacks its photos into one temporary file.
"""

from __future__ import annotations

import atexit
import bz2
import contextlib
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.packed.tar_headers import Header, headers
from cosface_cli.artifacts.pictures import require_content
from cosface_cli.engines.sources import Listing, SourceRequest
from cosface_cli.engines.sources.archive import (
    MAX_MEMBER,
    Member,
    archive_error,
    is_photo,
    list_members,
    member_display_name,
)
from cosface_cli.errors import CosfaceError, PhotoError

_PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


@dataclass(frozen=True, slots=True)
class TarMember:
    """A photo in a tar archive."""

    archive: Path
    within: Path
    """The file that holds the content: the archive, or the unpacked photos."""
    display_name: str
    offset: int
    """Of the content in `within`, in bytes."""
    size: int

    def read(self) -> bytes:
        """Raises PhotoError (unreadable, truncated, empty_file)."""
        try:
            with self.within.open("rb") as handle:
                handle.seek(self.offset)
                content = handle.read(self.size)
        except OSError as error:
            raise PhotoError("unreadable", f"cannot be read ({error.strerror})", self.display_name) from error
        if len(content) != self.size:
            raise PhotoError("truncated", "the archive ends within it", self.display_name, "copy the archive again")
        return require_content(content, self.display_name)

    def status(self) -> tuple[int, int]:
        return self.size, self.archive.stat().st_mtime_ns

    def __str__(self) -> str:
        return self.display_name


def list_tar(request: SourceRequest) -> Listing | None:
    """The photos of a tar, plain or compressed by gzip, bzip2 or xz. Raises CosfaceError for a damaged one."""
    if not request.path.is_file():
        return None
    unpack = next((opening for magic, opening in _PACKED.items() if request.head.startswith(magic)), None)
    if unpack is None and request.head[257:262] != b"ustar" and request.path.suffix.lower() not in (".tar", ".tgz"):
        return None
    try:
        if unpack is None:
            with tarfile.open(request.path, "r:", tarinfo=Header, encoding="utf-8") as tar:
                return list_members(request, _members(request, tar, None))
        spool = _spool()
        with atomic.write_errors(spool), unpack(request.path) as stream, spool.open("wb") as out:
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=Header, encoding="utf-8") as tar:
                listing = list_members(request, _members(request, tar, out))
            stream.read(1 << 20)  # the padding, and with it the checksum at the end
        return replace(listing, unpacked=spool)
    except CosfaceError:
        raise
    except Exception as error:  # tarfile and the decompressors raise any exception for hostile bytes
        raise archive_error("tar", request.path, error) from error


def _members(request: SourceRequest, tar: tarfile.TarFile, out: BinaryIO | None) -> Iterator[Member | str]:
    """out: the file that photos are unpacked to, for an archive that is read as a stream."""
    for info in headers(tar):
        if info.isdir():
            continue
        if not info.isreg() or info.issparse():
            yield info.name
            continue
        display_name = member_display_name(request, info.name)
        if out is None and is_photo(info.name, b""):  # its content need not be read
            yield Member(
                info.name, info.size, TarMember(request.path, request.path, display_name, info.offset_data, info.size)
            )
            continue
        content = tar.extractfile(info)
        head = b"" if content is None else content.read(16)
        if content is None or not is_photo(info.name, head):
            yield info.name
        elif out is None:
            yield Member(
                info.name, info.size, TarMember(request.path, request.path, display_name, info.offset_data, info.size)
            )
        else:
            yield Member(
                info.name, info.size, TarMember(request.path, Path(out.name), display_name, out.tell(), info.size)
            )
            if info.size <= MAX_MEMBER:
                out.write(head)
                shutil.copyfileobj(content, out)


def _spool() -> Path:
    """A temporary file that is deleted when this process ends."""
    handle, name = tempfile.mkstemp(prefix="cosface-", suffix=".photos")
    os.close(handle)

    def remove() -> None:
        with contextlib.suppress(OSError):
            Path(name).unlink()

    atexit.register(remove)
    return Path(name)
