"""Checks FAISS's file of inverted lists before FAISS reads it: every length must be the expected one."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from cosface_cli.artifacts.index.vector_file import REBUILD_HINT
from cosface_cli.errors import DamagedError


def require_lists(path: Path, code: Literal["sq8", "pq"], size: int, rows: int, lists: int, parts: int) -> None:
    """Raises DamagedError unless a file has `lists` inverted lists with `rows` vectors of `size` numbers in all.

    parts: of the product quantizer. Memory: one number for each list.
    """
    try:
        length = path.stat().st_size
        if not 1 <= lists <= max(1, rows) * 2**6 or lists * size * 4 > length:
            raise ValueError("more lists than it can hold")
        with path.open("rb") as file:
            _walk(file, length, code, size, rows, lists, parts)
    except (OSError, ValueError, struct.error) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise DamagedError(f"not the lists of this index ({words})", path, REBUILD_HINT) from error


def _walk(file: BinaryIO, length: int, code: str, size: int, rows: int, lists: int, parts: int) -> None:
    def expect(layout: str, *values: object) -> None:
        packed = struct.pack("<" + layout, *values)
        if file.read(len(packed)) != packed:
            raise ValueError(f"another value at byte {file.tell() - len(packed)}")

    def skip(count: int) -> None:
        if file.seek(count, 1) > length:
            raise ValueError("cut short")

    file_kind = {"sq8": b"IwSq", "pq": b"IwPQ"}[code]
    bytes_a_row = size if code == "sq8" else parts
    expect("4siqqq?i", file_kind, size, rows, 1 << 20, 1 << 20, True, 0)
    expect("QQ", lists, 1)  # the second is nprobe, which is set later
    expect("4siqqq?iQ", b"IxFI", size, lists, 1 << 20, 1 << 20, True, 0, lists * size)  # the centres
    skip(lists * size * 4)
    expect("bQ", 0, 0)  # no map from rows to lists
    if code == "sq8":
        expect("ii", 0, 0)  # 8 bits, ranges by minimum and maximum
        skip(4)
        expect("QQQ", size, size, 2 * size)
        skip(2 * size * 4)
        expect("Q?", size, False)
    else:
        expect("?Q", True, parts)
        expect("QQQQ", size, parts, 8, 256 * size)
        skip(256 * size * 4)
    expect("4sQQ", b"ilar", lists, bytes_a_row)
    kind, (numbers,) = file.read(4), struct.unpack("<Q", file.read(8))
    if kind not in (b"full", b"sprs") or numbers != lists if kind == b"full" else numbers > 2 * lists or numbers % 2:
        raise ValueError("other lists")
    list_sizes = np.frombuffer(file.read(8 * numbers), "<u8")
    if len(list_sizes) != numbers:
        raise ValueError("cut short")
    if kind == b"sprs":
        if (list_sizes[::2] >= lists).any():
            raise ValueError("a list with a number out of range")
        list_sizes = list_sizes[1::2]
    if (list_sizes > rows).any() or int(list_sizes.sum()) != rows or file.tell() + rows * (bytes_a_row + 8) != length:
        raise ValueError("lists that do not hold its rows")
