"""The members of a tar file. Only headers are read; a damaged header is an error, and none can use much memory."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

_MAX_HEADER = 1 << 20  # bytes of a long name or of attributes, which tarfile reads into memory
_EXTENDED = {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE}
_EXTENDED |= {tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}


class Header(tarfile.TarInfo):
    """For tarfile.open(tarinfo=...): without it tarfile treats a damaged header as the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        try:
            header = super().frombuf(buf, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from None
        if header.size < 0 or (header.type in _EXTENDED and header.size > _MAX_HEADER):
            raise tarfile.ReadError("a header has an invalid size")
        return header


def headers(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Each member in turn, without collecting them in memory. Raises tarfile.TarError for damage."""
    while (info := tar.next()) is not None:
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all
        yield info
