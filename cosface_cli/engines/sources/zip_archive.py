"""The photos of a zip archive. Members are read by their offsets, so a worker does not load the archive's directory."""

from __future__ import annotations

import bz2
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosface_cli.artifacts.pictures import require_content
from cosface_cli.engines.sources import Listing, Refused, SourceRequest
from cosface_cli.engines.sources.archive import Member, archive_error, is_photo, list_members, member_display_name
from cosface_cli.errors import PhotoError

_LOCAL = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flags


@dataclass(frozen=True, slots=True, kw_only=True)
class ZipMember:
    """A photo in a zip archive."""

    archive: Path
    display_name: str
    offset: int
    """Of the local header."""
    packed: int
    """Bytes in the archive."""
    size: int
    """Bytes, unpacked."""
    crc: int
    """CRC-32 of the content."""
    method: int
    """0 stored, 8 deflate, 12 bzip2."""

    def read(self) -> bytes:
        """The content; its size and checksum are verified. Raises PhotoError (unreadable, decode_error, empty_file)."""
        content = self.begin(self.size + 1)
        if len(content) != self.size or zlib.crc32(content) != self.crc:
            raise self._damaged("its size or checksum is wrong")
        return require_content(content, self.display_name)

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
                packed = handle.read(min(self.packed, most + most // 64 + 1024))  # no method packs to more than that
        except OSError as error:
            raise PhotoError("unreadable", f"cannot be read ({error.strerror})", self.display_name) from error
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
        raise PhotoError("unsupported_format", problem, self.display_name, "pack it again, with deflate")

    def _damaged(self, why: str) -> PhotoError:
        return PhotoError(
            "decode_error", f"damaged in the archive ({why})", self.display_name, "copy the archive again"
        )

    def status(self) -> tuple[int, int]:
        return self.size, self.archive.stat().st_mtime_ns

    def __str__(self) -> str:
        return self.display_name


def list_zip(request: SourceRequest) -> Listing | None:
    """The photos of a zip archive. Raises CosfaceError for a damaged directory."""
    if not request.path.is_file() or not (
        request.head.startswith((b"PK\3\4", b"PK\5\6")) or request.path.suffix.lower() == ".zip"
    ):
        return None
    try:
        with zipfile.ZipFile(request.path) as archive:
            infos = archive.infolist()
    except Exception as error:  # a hostile directory makes zipfile raise more than BadZipFile
        raise archive_error("zip", request.path, error) from error
    return list_members(request, _members(request, infos))


def _members(request: SourceRequest, infos: list[zipfile.ZipInfo]) -> Iterator[Member | str]:
    for info in infos:
        name = _name(info)
        if info.is_dir():
            continue
        display_name = member_display_name(request, name)
        place = ZipMember(
            archive=request.path,
            display_name=display_name,
            offset=info.header_offset,
            packed=info.compress_size,
            size=info.file_size,
            crc=info.CRC,
            method=info.compress_type,
        )
        if stat.S_ISLNK(info.external_attr >> 16):
            yield name
        elif info.flag_bits & _ENCRYPTED:
            if is_photo(name, b""):
                hint = "unpack the archive and give the folder"
                yield Member(
                    name, 0, Refused(request.path, display_name, "encrypted", "this member is encrypted", hint)
                )
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
    """Without the UTF-8 flag, names are in code page 437 by the standard; many Macs write UTF-8 all the same."""
    if info.flag_bits & _UTF8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename
