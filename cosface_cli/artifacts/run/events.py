"""TensorBoard's event file: scalars by step.

TFRecord framing (length, its checksum, content, its checksum) around protobuf's Event messages, of which a scalar needs
five fields. The file is written in place, alone of all files: a TensorBoard that watches it holds it open. As all of it
follows from the rows, a torn one is mended by the next writing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.files.atomic import write_errors

_VERSION = b"brain.Event:2"
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reflected
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # protobuf's wire types


def write_events(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write every number of the rows at the row's `step`, by its name; what is no number is passed over.

    Times of day are left at 0, as in all files of a run: the same rows give the same bytes.
    """
    content = b"".join([_record(_field(3, _BYTES, _VERSION)), *(_record(_event(row)) for row in rows)])
    with write_errors(path), path.open("r+b" if path.exists() else "w+b") as file:
        file.write(content)
        file.truncate()


def _event(row: Mapping[str, Any]) -> bytes:
    """Event: step = 2; summary = 5, in it value = 1 of tag = 1 and simple_value = 2."""
    values = b"".join(
        _field(1, _BYTES, _field(1, _BYTES, name.encode()) + _field(2, _FLOAT, struct.pack("<f", value)))
        for name, value in row.items()
        if name != "step" and isinstance(value, (int, float)) and not isinstance(value, bool)
    )
    return (
        _field(1, _DOUBLE, struct.pack("<d", 0.0))
        + _field(2, _VARINT, _varint(row["step"]))
        + _field(5, _BYTES, values)
    )


def _field(number: int, kind: int, content: bytes) -> bytes:
    length = _varint(len(content)) if kind == _BYTES else b""
    return _varint(number << 3 | kind) + length + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    """TFRecord's masked CRC-32C."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _table() -> tuple[int, ...]:
    entries = []
    for entry in range(256):
        for _ in range(8):
            entry = entry >> 1 ^ (_POLYNOMIAL if entry & 1 else 0)
        entries.append(entry)
    return tuple(entries)


_TABLE = _table()
