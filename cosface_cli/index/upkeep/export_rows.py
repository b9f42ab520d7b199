"""The rows of an index as files that other tools read: NumPy and CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.index.build.segments import BLOCK
from cosface_cli.index.search.gallery import Gallery

ExportBlock = tuple[NDArray[np.int64], list[FaceRow], NDArray[np.float32]]  # ids, rows, vectors

NUMBERS = ("id", "face", "left", "top", "right", "bottom", "score", "sharpness", "size", "mtime_ns")
FIELDS = ("id", "identity", "source", "root", "face", "left", "top", "right", "bottom", "score", "sharpness", "hash",
          "size", "mtime_ns")  # fmt: skip


def export_blocks(gallery: Gallery) -> Iterator[ExportBlock]:
    """All rows, block by block."""
    for part in gallery.parts:
        for low in range(0, len(part), BLOCK):
            high = min(low + BLOCK, len(part))
            rows = list(part.rows.columns(low, high).rows())
            yield np.array(part.rows.ids[low:high]), rows, part.vectors.block(low, high)


def field_values(number: int, row: FaceRow) -> tuple[object, ...]:
    """The values of FIELDS for a row."""
    file = (row.score, row.sharpness, row.hash, row.size, row.mtime_ns)
    return (int(number), row.identity, row.source, row.root, row.face, *row.box, *file)


def write_npy(gallery: Gallery, path: Path, vectors: bool) -> None:
    """The vectors (N, D) float32, in the order of the rows of write_csv."""
    with path.open("wb") as file:
        shape = (len(gallery), gallery.header.size)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for part in gallery.parts:
            for low in range(0, len(part), BLOCK):
                file.write(part.vectors.block(low, min(low + BLOCK, len(part))).tobytes())


def write_csv(gallery: Gallery, path: Path, vectors: bool) -> None:
    """One line per row, UTF-8; names that are not UTF-8 keep their bytes."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([*FIELDS, *(f"e{i}" for i in range(gallery.header.size if vectors else 0))])
        for ids, rows, block in export_blocks(gallery):
            for number, row, vector in zip(ids, rows, block, strict=True):
                lines.writerow([*field_values(number, row), *(map(str, vector) if vectors else ())])
