"""A linear map from one model's vectors to another's, fitted on faces that both models embedded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import FACE_KEY, KEY, SOURCE_KEY, decode
from cosface_cli.artifacts.store.store_file import Store, StoreHeader
from cosface_cli.errors import CosfaceError
from cosface_cli.index.build.row_keys import Keys, face_keys
from cosface_cli.index.build.segments import BLOCK
from cosface_cli.maths.linear_map import mapped, rank1, ridge

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_FIT, _CHOOSE = 0.6, 0.2  # shares of the people; the quality is measured on the rest


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CommonFaces:
    """The n faces that are in two stores."""

    old: StoreHeader
    new: StoreHeader
    old_vectors: NDArray[np.float32]
    """(n, A)."""
    new_vectors: NDArray[np.float32]
    """(n, B)."""
    people: NDArray[np.int64]
    """(n,): the number of each face's person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapQuality:
    """The quality of a map, see MigrateReport."""

    fitted: int
    held_out: int
    ridge: float
    cos: float
    rank1: float | None
    rank1_new: float | None
    rank1_old: float | None


def common_faces(old: Path, new: Path) -> CommonFaces:
    """The faces of two stores with the same file and number, in the order of the old store.

    Raises CosfaceError if both stores are of one model.
    """
    with Store(old) as old_store, Store(new) as new_store:
        if old_store.header.model_id == new_store.header.model_id and old_store.header.flip == new_store.header.flip:
            raise CosfaceError("both stores are of one model", new, "give the old model's store and the new one's")
        old_keys, names = _faces_of(old_store)
        new_keys, _ = _faces_of(new_store)
        _, old_rows, new_rows = np.intersect1d(old_keys, new_keys, return_indices=True)
        order = np.argsort(old_rows)
        old_rows, new_rows = old_rows[order], new_rows[order]
        people: dict[str, int] = {}
        return CommonFaces(
            old=old_store.header,
            new=new_store.header,
            old_vectors=_vectors(old_store, old_rows),
            new_vectors=_vectors(new_store, new_rows),
            people=np.array([people.setdefault(names[row], len(people)) for row in old_rows], np.int64),
        )


def fit_map(faces: CommonFaces, old: Path, new: Path) -> tuple[NDArray[np.float64], MapQuality]:
    """The map (A, B) fitted by ridge regression on some people, with the strength that is best on others, and its
    quality on the rest. old, new: the stores, for messages. Raises CosfaceError if there are too few faces."""
    x, y = faces.old_vectors, faces.new_vectors
    count = int(faces.people.max()) + 1 if len(faces.people) else 0
    order = np.random.default_rng(0).permutation(count)
    share = np.empty(count)
    share[order] = (np.arange(count) + 0.5) / max(1, count)
    fit = share[faces.people] < _FIT
    choose = ~fit & (share[faces.people] < _FIT + _CHOOSE)
    rest = ~fit & ~choose
    if not choose.any() or not rest.any() or fit.sum() < 10:
        problem = f"only {len(faces.people)} faces of {count} people are also in {old}"
        raise CosfaceError(problem, new, "embed the same crops by both models, of some hundred people")
    candidates = []
    for strength in RIDGES:
        matrix = ridge(x[fit], y[fit], strength)
        mean_cosine = float((mapped(x[choose], matrix) * y[choose]).sum(1).mean())
        candidates.append((mean_cosine, strength, matrix))
    _, strength, matrix = max(candidates, key=lambda candidate: candidate[0])
    mapped_rest, people, y_rest = mapped(x[rest], matrix), faces.people[rest], y[rest]
    return matrix, MapQuality(
        fitted=int(fit.sum()),
        held_out=int(rest.sum()),
        ridge=strength,
        cos=round(float((mapped_rest * y_rest).sum(1).mean()), 4),
        rank1=_rounded(rank1(y_rest, mapped_rest, people)),
        rank1_new=_rounded(rank1(y_rest, y_rest, people)),
        rank1_old=_rounded(rank1(x[rest], x[rest], people)),
    )


def quality_sentence(quality: MapQuality, model: str) -> str:
    """The quality of a map in words. model: the new one."""
    sentence = f"on {quality.held_out} faces of people that the map was not fitted on, a mapped vector has cosine "
    sentence += f"{quality.cos:.3f} with that of {model}"
    if quality.rank1 is not None:
        sentence += f"; the nearest other face is the same person's in {quality.rank1:.1%}"
        sentence += f", with {model}'s own vectors in {quality.rank1_new:.1%}"
    return sentence


def mapped_keys(keys: Keys) -> Keys:
    """Keys of the same faces that differ from the keys of any store's rows, so that rows embedded by the new model
    replace the mapped ones."""
    digits = np.array(np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), KEY))
    digits[:, FACE_KEY:] ^= 0xFF
    return digits.view(f"S{KEY}").reshape(-1)


def _faces_of(store: Store) -> tuple[Keys, list[str]]:
    """The face part of each row's key, and the row's person; a row without identity counts as a person."""
    keys, names = [np.zeros(0, f"S{FACE_KEY - SOURCE_KEY}")], []
    for block in store.blocks(BLOCK):
        keys.append(face_keys(block.columns.keys()))
        table, codes = block.columns.tables["identity"], block.columns.codes["identity"]
        names += [decode(table[code]) if code >= 0 else f"\0{row}" for row, code in enumerate(codes, block.start)]
    return np.concatenate(keys), names


def _vectors(store: Store, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    """The vectors (n, D) of rows of a store (n,), in any order."""
    vectors = np.empty((len(numbers), store.header.size), np.float32)
    for block in store.blocks(BLOCK):
        positions = np.flatnonzero((numbers >= block.start) & (numbers < block.stop))
        if len(positions):
            vectors[positions] = block.vectors[numbers[positions] - block.start]
    return vectors


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
