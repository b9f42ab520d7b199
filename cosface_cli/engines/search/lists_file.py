"""FAISS's file of inverted lists, walked through before FAISS reads it: every length must be the one that is due."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from cosface_cli.artifacts.index.vector_file import MEND
from cosface_cli.errors import DamagedError


def require_lists(path: Path, code: Literal["sq8", "pq"], size: int, rows: int, lists: int, parts: int) -> None:
    """Raises DamagedError unless a file is `lists` inverted lists that hold `rows` vectors of `size` numbers. parts: of
    the product quantizer. Memory: a number for each list."""
    try:
        length = path.stat().st_size
        if not 1 <= lists <= max(1, rows) * 2**6 or lists * size * 4 > length:
            raise ValueError("more lists than it can hold")
        with path.open("rb") as file:
            _walk(file, length, code, size, rows, lists, parts)
    except (OSError, ValueError, struct.error) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise DamagedError(f"not the lists of this index ({words})", path, MEND) from error


def _walk(file: BinaryIO, length: int, code: str, size: int, rows: int, lists: int, parts: int) -> None:
    def due(layout: str, *values: object) -> None:
        packed = struct.pack("<" + layout, *values)
        if file.read(len(packed)) != packed:
            raise ValueError(f"another value at byte {file.tell() - len(packed)}")

    def over(count: int) -> None:
        if file.seek(count, 1) > length:
            raise ValueError("cut short")

    file_kind = {"sq8": b"IwSq", "pq": b"IwPQ"}[code]
    bytes_a_row = size if code == "sq8" else parts
    due("4siqqq?i", file_kind, size, rows, 1 << 20, 1 << 20, True, 0)
    due("QQ", lists, 1)  # and nprobe, which is set later
    due("4siqqq?iQ", b"IxFI", size, lists, 1 << 20, 1 << 20, True, 0, lists * size)  # the centres
    over(lists * size * 4)
    due("bQ", 0, 0)  # no map from rows to lists
    if code == "sq8":
        due("ii", 0, 0)  # 8 bits, ranges by minimum and maximum
        over(4)
        due("QQQ", size, size, 2 * size)
        over(2 * size * 4)
        due("Q?", size, False)
    else:
        due("?Q", True, parts)
        due("QQQQ", size, parts, 8, 256 * size)
        over(256 * size * 4)
    due("4sQQ", b"ilar", lists, bytes_a_row)
    kind, (numbers,) = file.read(4), struct.unpack("<Q", file.read(8))
    if kind not in (b"full", b"sprs") or numbers != lists if kind == b"full" else numbers > 2 * lists or numbers % 2:
        raise ValueError("other lists")
    held = np.frombuffer(file.read(8 * numbers), "<u8")
    if len(held) != numbers:
        raise ValueError("cut short")
    if kind == b"sprs":
        if (held[::2] >= lists).any():
            raise ValueError("a list that is not there")
        held = held[1::2]
    if (held > rows).any() or int(held.sum()) != rows or file.tell() + rows * (bytes_a_row + 8) != length:
        raise ValueError("lists that do not hold its rows")
