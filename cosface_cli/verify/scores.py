"""Scored pairs: what every protocol ends in, and what the figures, the report and the calibration start from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PairScores:
    """scores: (P,) float64, cosines, NaN where a side has no embedding; same: (P,) bool, genuine pairs.

    left, right: (P,) int64, rows of names; names: each thing compared once: a photo, a clip, a template;
    identities: of each name, "" where it is not known; fold: (P,) int64 from 1, all 1 where there are none;
    places: of each name, the files behind it as paths, empty where there are none to look at.
    """

    scores: NDArray[np.float64]
    same: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    names: tuple[str, ...]
    identities: tuple[str, ...]
    fold: NDArray[np.int64]
    places: tuple[tuple[str, ...], ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        """(P,) whether a pair has a score."""
        return np.isfinite(self.scores)

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return int(np.unique(self.fold).size)

    def people(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The identities of the two sides as numbers from 0, (P,) each; None where one is not known."""
        if not all(self.identities):
            return None
        codes = {name: number for number, name in enumerate(dict.fromkeys(self.identities))}
        of = np.array([codes[name] for name in self.identities], np.int64)
        return of[self.left], of[self.right]

    def chosen(self, keep: NDArray[np.bool_]) -> PairScores:
        """The pairs of a mask (P,)."""
        parts = (self.scores[keep], self.same[keep], self.left[keep], self.right[keep])
        return PairScores(*parts, self.names, self.identities, self.fold[keep], self.places)
