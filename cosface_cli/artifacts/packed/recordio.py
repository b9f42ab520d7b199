"""MXNet's RecordIO, the format of insightface's face sets: train.rec, with train.idx beside it.

A record: magic 0xced7230a, then a word whose upper three bits are the part of the record (0: all of it; 1, 2, 3: its
first, middle, last part; a record is split where its content contains the magic) and whose lower 29 bits are the
length, then the content, padded to 4 bytes. The content: flag (uint32), label (float32), id and id2 (uint64); if the
flag is not 0, it is the number of float32 labels that follow and that replace the label in the header; then the image.
All little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cosface_cli.errors import CosfaceError, PhotoError

MAGIC = struct.pack("<I", 0xCED7230A)
_PART = struct.Struct("<4sI")
_HEAD = struct.Struct("<IfQQ")
_ALL, _FIRST, _MIDDLE, _LAST = range(4)


@dataclass(frozen=True, slots=True)
class Record:
    """The position of a record and of its image."""

    offset: int
    """Position of the record in the file, in bytes."""
    number: int
    """Position among the records, from 0."""
    label: float
    """The identity."""
    skip: int
    """Bytes of content before the image."""
    size: int
    """Bytes of the image; 0 for a record without one (InsightFace's header and identity records)."""


def records(path: Path) -> Iterator[Record]:
    """All records; only their headers are read. Raises CosfaceError if the file is damaged or truncated."""
    try:
        handle = path.open("rb")
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path, "check its permissions") from error
    with handle:
        end = handle.seek(0, 2)
        offset = number = 0
        while offset < end:
            parts = _parts(handle, offset, end, path, number)
            size = sum(length for _, length in parts) + len(MAGIC) * (len(parts) - 1)
            if len(parts) == 1:
                handle.seek(parts[0][0])
                head = handle.read(min(size, _HEAD.size + 4))
            else:
                head = _joined(handle, parts)[: _HEAD.size + 4]
            if len(head) < _HEAD.size:
                raise _damaged(path, offset, number)
            flag, label, _, _ = _HEAD.unpack_from(head)
            skip = _HEAD.size + 4 * flag
            if skip > size:
                raise _damaged(path, offset, number)
            if flag:
                (label,) = struct.unpack_from("<f", head, _HEAD.size)
            yield Record(offset, number, label, skip, size - skip)
            start, length = parts[-1]
            offset = start + _padded(length)
            number += 1


def read_image(path: Path, record: Record) -> bytes:
    """The image of a record. Raises OSError, and PhotoError (truncated) if the file has changed."""
    with path.open("rb") as handle:
        try:
            parts = _parts(handle, record.offset, handle.seek(0, 2), path, record.number)
        except CosfaceError as error:
            raise PhotoError("truncated", error.problem, path, error.hint) from None
        image = _joined(handle, parts)[record.skip :]
    if len(image) != record.size:
        raise PhotoError("truncated", "the file has changed", path, "run the same command again")
    return image


def read_keys(path: Path) -> dict[int, int]:
    """The key of each offset in an index file with lines "key<TAB>offset". Raises CosfaceError for any other file."""
    try:
        with path.open(encoding="ascii") as lines:
            return {int(offset): int(key) for key, offset in (line.split() for line in lines if line.strip())}
    except (ValueError, OSError) as error:
        raise CosfaceError("not an index of records", path, "move it away: it is optional") from error


def _parts(handle: BinaryIO, offset: int, end: int, path: Path, number: int) -> list[tuple[int, int]]:
    """Position and length of each part of a record's content; most records have one part."""
    parts: list[tuple[int, int]] = []
    at = offset
    while True:
        handle.seek(at)
        head = handle.read(_PART.size)
        if len(head) < _PART.size or not head.startswith(MAGIC):
            raise _damaged(path, at, number)
        word = int.from_bytes(head[4:], "little")
        part, length = word >> 29, word & (1 << 29) - 1
        at += _PART.size
        if part not in ((_MIDDLE, _LAST) if parts else (_ALL, _FIRST)) or at + length > end:
            raise _damaged(path, at, number)
        parts.append((at, length))
        at += _padded(length)
        if part in (_ALL, _LAST):
            return parts


def _joined(handle: BinaryIO, parts: list[tuple[int, int]]) -> bytes:
    content = []
    for at, length in parts:
        handle.seek(at)
        content.append(handle.read(length))
    return MAGIC.join(content)


def _padded(length: int) -> int:
    return length + -length % 4


def _damaged(path: Path, offset: int, number: int) -> CosfaceError:
    return CosfaceError(f"damaged RecordIO file, at byte {offset}, in record {number}", path, "copy it again")
