"""Indexes of made-up people: vectors about a direction each, at cosines of the built-in network's kind."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import StoreHeader, write_store
from cosface_cli.index import BuildConfig
from cosface_cli.index.stage import build

SIZE = 32
DLIB = "dlib-resnet29-55533b28a95800a5"


def photo(person: str, number: int, spread: float = 0.15) -> np.ndarray:
    """A unit vector: people are at cosines about .85 from each other, photos of one at about .98."""
    common = np.zeros(SIZE)
    common[0] = 1.0
    own = drawn(person)
    own[0] = 0
    centre = common + 0.42 * own / np.linalg.norm(own)
    noise = drawn(f"{person} {number}")
    vector = centre + spread * noise / np.linalg.norm(noise)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def drawn(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return np.random.default_rng(seed).normal(size=SIZE)


def row(
    person: str, number: int, root: Path | str = "/photos", score: float = 0.99, sharpness: float = 50.0
) -> FaceRow:
    digest = hashlib.sha256(f"{person} {number}".encode()).hexdigest()
    return FaceRow(
        source=f"{person}/{number}.jpg",
        identity=person,
        root=str(root),
        settings="s",
        face=1,
        box=(1.0, 2.0, 30.0, 40.0),
        score=score,
        sharpness=sharpness,
        hash=digest,
    )


Faces = Sequence[tuple[FaceRow, np.ndarray]]


def people(sizes: dict[str, int], start: int = 0, root: Path | str = "/photos") -> list[tuple[FaceRow, np.ndarray]]:
    """Rows and vectors of that many photos of each person."""
    return [(row(name, n, root), photo(name, n)) for name, count in sizes.items() for n in range(start, start + count)]


def store(path: Path, faces: Faces, model_id: str = DLIB) -> Path:
    write_store(path, StoreHeader(model="dlib", model_id=model_id, template="dlib", flip="none", size=SIZE), faces, [])
    return path


def index(root: Path, faces: Faces, model_id: str = DLIB) -> Path:
    """An index of these faces; one that is there is built again."""
    made = store(root.with_name(f"{root.name}.h5"), faces, model_id)
    build(BuildConfig(stores=(made,), index=root))
    return root
