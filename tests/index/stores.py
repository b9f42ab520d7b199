"""Stores made of numbers, for tests that need no faces."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import StoreHeader, write_store

SIZE = 32
HEADER = StoreHeader(model="toy", model_id="toy-0123456789abcdef", template="dlib", flip="none", size=SIZE)


@cache
def vectors(count: int, seed: int = 0, size: int = SIZE, per_person: int = 4) -> np.ndarray:
    """Unit vectors with structure: `per_person` photos of each person, cosine near .67."""
    rng = np.random.default_rng(seed)
    found = np.repeat(rng.normal(size=(-(-count // per_person), size)), per_person, 0)[:count]
    found = found + 0.7 * rng.normal(size=found.shape)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def row(number: int, content: str | None = None, root: str = "/photos", person: str | None = None) -> FaceRow:
    person = f"person{number // 4:04d}" if person is None else person
    source = f"{person}/名 {number:05d}.jpg"
    digest = hashlib.sha256((content or source).encode()).hexdigest()
    return FaceRow(
        source=source,
        identity=person,
        root=root,
        settings="s",
        face=1,
        box=(1.0, 2.0, 3.0, 4.0),
        score=0.5,
        sharpness=1.5,
        hash=digest,
        size=1000 + number,
        mtime_ns=number * 10**9,
    )


def store(
    path: Path,
    numbers: Sequence[int],
    seed: int = 0,
    header: StoreHeader = HEADER,
    rows: Sequence[FaceRow] | None = None,
    most: int = 4000,
) -> Path:
    """A store of the rows of these numbers; a number has the same vector in every store of a seed."""
    found = vectors(most, seed, header.size)
    rows = [row(number) for number in numbers] if rows is None else rows
    write_store(path, header, zip(rows, found[list(numbers)], strict=True), [])
    return path
