"""People as the mean of their faces: fewer comparisons than between single faces, and less noise in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.maths.rates import allowed_accepts

SAMPLE = 20_000  # faces, at most, from which a threshold is computed
BLOCK = 2048

Vectors = NDArray[np.float32]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Centres:
    """The mean faces of K people."""

    names: tuple[str, ...]
    sums: NDArray[np.float64]
    """(K, D) sum of each person's unit vectors."""
    counts: Codes
    """(K,) faces of each person."""

    @property
    def unit(self) -> NDArray[np.float64]:
        """(K, D), of unit length."""
        return _unit(self.sums)


class CentreSums:
    """Sums of faces by person, added block by block."""

    def __init__(self, size: int) -> None:
        self._codes: dict[str, int] = {}
        self._sums = np.zeros((0, size))
        self._counts = np.zeros(0, np.int64)

    def add(self, vectors: Vectors, names: Sequence[str]) -> Codes:
        """Add faces (N, D) of people by name; returns the people's numbers (N,)."""
        codes = np.array([self._codes.setdefault(name, len(self._codes)) for name in names], np.int64)
        new = len(self._codes) - len(self._sums)
        self._sums = np.pad(self._sums, ((0, new), (0, 0)))
        self._counts = np.pad(self._counts, (0, new))
        np.add.at(self._sums, codes, vectors.astype(np.float64))
        np.add.at(self._counts, codes, 1)
        return codes

    def centres(self) -> Centres:
        return Centres(tuple(self._codes), self._sums, self._counts)


def stranger_threshold(vectors: Vectors, codes: Codes, centres: Centres, far: float) -> float | None:
    """The lowest cosine to a person's centre that at most `far` of the faces (N, D) of other people (N,) reach.

    Pairs of people whose centres are at least as near to each other as the median face of one of them is to the
    centre of that person's other faces are left out: they are one person under two names, or several people under one
    name. If the faces do not resolve `far`, no face reaches the threshold. None for fewer than two people.
    """
    unit = centres.unit
    to_own_centre = (vectors * _unit(centres.sums[codes] - vectors)).sum(axis=1)
    to_own_centre[centres.counts[codes] < 2] = np.nan  # the person has no other face
    known = np.isfinite(to_own_centre)
    order = np.argsort(codes[known], kind="stable")
    medians = np.full(len(unit), np.inf)
    for part in np.split(order, np.flatnonzero(np.diff(codes[known][order])) + 1):
        if len(part):
            medians[codes[known][part[0]]] = np.median(to_own_centre[known][part])
    highest: list[NDArray[np.float64]] = []
    trials = 0
    for low in range(0, len(vectors), BLOCK):
        people = codes[low : low + BLOCK]
        cosines = vectors[low : low + BLOCK].astype(np.float64) @ unit.T
        one_person = unit[people] @ unit.T >= np.minimum(medians[people][:, None], medians[None])
        cosines[one_person] = -np.inf
        cosines[np.arange(len(people)), people] = -np.inf
        values = cosines[np.isfinite(cosines)]
        trials += values.size
        highest.append(np.sort(values)[-max(1, allowed_accepts(far, len(vectors) * len(unit)) + 1) :])
    if not trials:
        return None
    ranked = np.sort(np.concatenate(highest))[::-1]
    return float(np.nextafter(ranked[min(allowed_accepts(far, trials), len(ranked) - 1)], np.inf))


def pairs_over(one: Centres, other: Centres, threshold: float) -> list[tuple[float, int, int]]:
    """Cosine, row in one and row in other, of all people whose centres reach the threshold; best first."""
    one_unit, other_unit = one.unit, other.unit
    pairs = []
    for low in range(0, len(one_unit), BLOCK):
        cosines = one_unit[low : low + BLOCK] @ other_unit.T
        pairs += [(float(cosines[i, j]), low + int(i), int(j)) for i, j in np.argwhere(cosines >= threshold)]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1))
