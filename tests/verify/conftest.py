"""Stores with vectors made by hand, so that every score is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import StoreHeader, write_store
from cosface_cli.outcomes import Note, Outcome

MakeStore = Callable[..., Path]


def unit(*values: float) -> np.ndarray:
    vector = np.array(values, np.float64)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def at_angle(degrees: float) -> np.ndarray:
    """A unit vector in the plane: the score of two is the cosine of the angle between them."""
    return unit(np.cos(np.radians(degrees)), np.sin(np.radians(degrees)))


def collect(notes: list[str]) -> Callable[[Outcome], None]:
    """A callback that collects the notes among the outcomes."""

    def collect_note(outcome: Outcome) -> None:
        if isinstance(outcome, Note):
            notes.append(outcome.text)

    return collect_note


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """make_store({"A/1.jpg": vector, ...}, name="faces.h5", scores=[...]); the first folder level is the identity."""

    def make(
        vectors: Mapping[str, Sequence[float] | np.ndarray],
        name: str = "faces.h5",
        model: str = "net",
        flip: str = "none",
        scores: Sequence[float] | None = None,
        first: int = 0,  # the number of the first file, from which its hash is made
    ) -> Path:
        path = tmp_path / name
        size = len(next(iter(vectors.values())))
        rows = (
            (
                FaceRow(
                    source=source,
                    identity=source.partition("/")[0] if "/" in source else None,
                    root=str(tmp_path),
                    settings="",
                    face=1,
                    box=(0.0, 0.0, 1.0, 1.0),
                    score=1.0 if scores is None else scores[number],
                    sharpness=0.0,
                    hash=f"{first + number:064x}",
                ),
                np.asarray(vector, np.float32),
            )
            for number, (source, vector) in enumerate(vectors.items())
        )
        write_store(
            path, StoreHeader(model=model, model_id=f"{model}-id", template="arcface", flip=flip, size=size), rows, []
        )
        return path

    return make
