"""An index as a file that other tools read: numbers for numpy, lines for everybody."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.index.gallery import Gallery
from cosface_cli.index.segments import BLOCK
from cosface_cli.index.upkeep import EXPORTS, Export, ExportReport
from cosface_cli.registry import one_of

Part = tuple[NDArray[np.int64], list[Row], NDArray[np.float32]]  # ids, rows, vectors

NUMBERS = ("id", "face", "left", "top", "right", "bottom", "score", "sharpness", "size", "mtime_ns")
FIELDS = ("id", "identity", "source", "root", "face", "left", "top", "right", "bottom", "score", "sharpness", "hash",
          "size", "mtime_ns")  # fmt: skip


def export(root: Path, out: Path, vectors: bool = False) -> ExportReport:
    """Write an index to out, whole or not at all, by its ending. Raises CosfaceError for an ending that is not known or
    whose package is not installed."""
    form = out.suffix.removeprefix(".").lower()
    one_of(form, EXPORTS.names, "the ending of the file")
    write: Export = EXPORTS.load(form)
    gallery = Gallery(root)
    with atomic.write_errors(out), atomic.replacing(out) as temp:
        write(gallery, temp, vectors)
    return ExportReport(str(out), len(gallery), form)


def parts(gallery: Gallery) -> Iterator[Part]:
    """All rows, block by block."""
    for part in gallery.parts:
        for low in range(0, len(part), BLOCK):
            high = min(low + BLOCK, len(part))
            rows = list(part.rows.columns(low, high).rows())
            yield np.array(part.rows.ids[low:high]), rows, part.vectors.between(low, high)


def values(number: int, row: Row) -> tuple[object, ...]:
    """A row as FIELDS."""
    box = tuple(row.box)
    more = (row.score, row.sharpness, row.hash, row.size, row.mtime_ns)
    return (int(number), row.identity, row.source, row.root, row.face, *box, *more)


def write_npy(gallery: Gallery, path: Path, vectors: bool) -> None:
    """The vectors (N, D) float32, in the order of the rows of write_csv."""
    with path.open("wb") as file:
        shape = (len(gallery), gallery.header.size)
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for part in gallery.parts:
            for low in range(0, len(part), BLOCK):
                file.write(part.vectors.between(low, min(low + BLOCK, len(part))).tobytes())


def write_csv(gallery: Gallery, path: Path, vectors: bool) -> None:
    """A line a row, UTF-8; names that are none keep their bytes."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow([*FIELDS, *(f"e{i}" for i in range(gallery.header.size if vectors else 0))])
        for ids, rows, found in parts(gallery):
            for number, row, vector in zip(ids, rows, found, strict=True):
                lines.writerow([*values(number, row), *(map(str, vector) if vectors else ())])
