"""The photos of a zip archive, read by the offsets of its directory, so that no worker holds the directory itself."""

from __future__ import annotations

import bz2
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosface_cli.artifacts.pictures import not_empty
from cosface_cli.engines.sources import Asked, Listing, Refused
from cosface_cli.engines.sources.archive import Member, called, is_photo, list_members, unusable
from cosface_cli.errors import PhotoError

_LOCAL = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags


@dataclass(frozen=True, slots=True)
class ZipMember:
    """offset: of the local header; packed, size: bytes; crc: of the content; method: 0 stored, 8 deflate, 12 bzip2."""

    archive: Path
    given: str
    offset: int
    packed: int
    size: int
    crc: int
    method: int

    def read(self) -> bytes:
        """The content, its size and checksum compared. Raises PhotoError (unreadable, decode_error, empty_file)."""
        content = self.begin(self.size + 1)
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise self._damaged("its size or checksum is wrong")
        return not_empty(content, self.given)

    def begin(self, most: int) -> bytes:
        """The first bytes of the content, `most` at most, unchecked."""
        try:
            with self.archive.open("rb") as handle:
                handle.seek(self.offset)
                head = handle.read(_LOCAL.size)
                if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
                    raise self._damaged("its header is missing")
                _, name, extra = _LOCAL.unpack(head)
                handle.seek(name + extra, 1)
                packed = handle.read(min(self.packed, most + most // 64 + 1024))  # no method grows by more
        except OSError as error:
            raise PhotoError("unreadable", f"cannot be read ({error.strerror})", self.given) from error
        except (OverflowError, ValueError):  # an offset beyond any file
            raise self._damaged("its header is missing") from None
        try:
            return self._unpacked(packed, most)
        except (zlib.error, OSError, ValueError) as error:  # of zlib and bz2
            raise self._damaged(str(error)) from None

    def _unpacked(self, packed: bytes, most: int) -> bytes:
        match self.method:
            case zipfile.ZIP_STORED:
                return packed[:most]
            case zipfile.ZIP_DEFLATED:
                return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, most)
            case zipfile.ZIP_BZIP2:
                return bz2.BZ2Decompressor().decompress(packed, most)
        problem = f"compressed by method {self.method}"
        raise PhotoError("unsupported_format", problem, self.given, "pack it anew, with deflate")

    def _damaged(self, why: str) -> PhotoError:
        return PhotoError("decode_error", f"damaged in the archive ({why})", self.given, "copy the archive again")

    def status(self) -> tuple[int, int]:
        return self.size, self.archive.stat().st_mtime_ns

    def __str__(self) -> str:
        return self.given


def list_zip(asked: Asked) -> Listing | None:
    """The photos of a zip archive. Raises CosfaceError for a damaged directory."""
    if not asked.path.is_file() or not (
        asked.head.startswith((b"PK\3\4", b"PK\5\6")) or asked.path.suffix.lower() == ".zip"
    ):
        return None
    try:
        with zipfile.ZipFile(asked.path) as archive:
            infos = archive.infolist()
    except Exception as error:  # a hostile directory makes zipfile raise more than BadZipFile
        raise unusable("zip", asked.path, error) from error
    return list_members(asked, _members(asked, infos))


def _members(asked: Asked, infos: list[zipfile.ZipInfo]) -> Iterator[Member | str]:
    for info in infos:
        name = _name(info)
        if info.is_dir():
            continue
        given = called(asked, name)
        place = ZipMember(
            asked.path, given, info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type
        )
        if stat.S_ISLNK(info.external_attr >> 16):
            yield name
        elif info.flag_bits & _ENCRYPTED:
            if is_photo(name, b""):
                hint = "unpack the archive and give the folder"
                yield Member(name, 0, Refused(asked.path, given, "encrypted", "this member is encrypted", hint))
            else:
                yield name
        elif is_photo(name, b"") or is_photo(name, _head(place)):
            yield Member(name, info.file_size, place)
        else:
            yield name


def _head(place: ZipMember) -> bytes:
    try:
        return place.begin(16)
    except PhotoError:
        return b""


def _name(info: zipfile.ZipInfo) -> str:
    """Names without the flag for UTF-8 are code page 437 by the standard, but UTF-8 all the same from many a Mac."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename
