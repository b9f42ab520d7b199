"""MXNet's RecordIO, written as dmlc-core's and mxnet's sources say, not by the reader's constants."""

from __future__ import annotations

import struct
from pathlib import Path

MAGIC = 0xCED7230A


def packed(label: float | list[float], number: int, image: bytes) -> bytes:
    """mx.recordio.pack: IRHeader as struct 'IfQQ', labels of an array after it."""
    if isinstance(label, list):
        own = struct.pack("IfQQ", len(label), 0.0, number, 0) + struct.pack(f"{len(label)}f", *label)
    else:
        own = struct.pack("IfQQ", 0, label, number, 0)
    return own + image


def write_records(path: Path, records: list[bytes], keys: list[int] | None = None) -> Path:
    """dmlc RecordIOWriter: a record is cut wherever its content holds the magic at a multiple of four bytes."""
    out, index = bytearray(), []
    magic = struct.pack("<I", MAGIC)
    for position, content in enumerate(records):
        index.append(f"{position if keys is None else keys[position]}\t{len(out)}\n")
        cuts = [i for i in range(0, len(content) // 4 * 4, 4) if content[i : i + 4] == magic]
        pieces, begin = [], 0
        for cut in cuts:
            pieces.append(content[begin:cut])
            begin = cut + 4
        pieces.append(content[begin:])
        for number, piece in enumerate(pieces):
            part = 0 if len(pieces) == 1 else 1 if number == 0 else 3 if number == len(pieces) - 1 else 2
            out += magic + struct.pack("<I", part << 29 | len(piece)) + piece + bytes(-len(piece) % 4)
    path.write_bytes(out)
    path.with_suffix(".idx").write_text("".join(index))
    return path


def as_insightface(images: list[tuple[int, bytes]]) -> list[bytes]:
    """Record 0 says where the images end and the identities begin, whose records hold ranges and no image."""
    people = sorted({label for label, _ in images})
    end = len(images) + 1
    first = packed([float(end), float(end + len(people))], 0, b"")
    ranges = [packed([1.0, 2.0], end + n, b"") for n, _ in enumerate(people)]
    return [first, *(packed(float(label), n, image) for n, (label, image) in enumerate(images, 1)), *ranges]
