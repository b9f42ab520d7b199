"""The ROC as a step function on sorted scores: equal scores form one group, and nothing is interpolated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The number of pairs accepted at each threshold (score >= threshold), from the strictest to the loosest."""

    thresholds: Floats
    """(K,) float64: inf, then the distinct scores, falling. -inf, if present, stands for pairs that no threshold
    accepts."""
    genuine: Counts
    """(K,) int64, accepted genuine pairs; the last value is the number of all genuine pairs."""
    impostors: Counts
    """(K,) int64, accepted impostor pairs; the last value is the number of all impostor pairs."""

    @property
    def tar(self) -> Floats:
        """(K,) true accept rates, 0..1."""
        return np.asarray(self.genuine / self.genuine[-1], dtype=np.float64)

    @property
    def far(self) -> Floats:
        """(K,) false accept rates, 0..1."""
        return np.asarray(self.impostors / self.impostors[-1], dtype=np.float64)

    @property
    def frr(self) -> Floats:
        """(K,) false reject rates, 0..1. Against the FAR, both on probit scales, this is the DET curve."""
        return 1 - self.tar

    def accepted(self, threshold: float) -> tuple[int, int]:
        """The numbers of genuine and of impostor pairs at or above a threshold."""
        row = int(np.searchsorted(-self.thresholds, -threshold, side="right")) - 1
        return (int(self.genuine[row]), int(self.impostors[row])) if row >= 0 else (0, 0)


def roc(scores: ArrayLike, same: ArrayLike) -> Curve:
    """The curve of scores (N,); same: (N,) bool, whether each pair is one person.

    -inf is the score of a pair that no threshold accepts, for example because a photo has no face. Raises ValueError
    for a score of NaN or inf, and without both genuine and impostor pairs.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    if np.isnan(values).any() or (values == np.inf).any():
        raise ValueError("a score is not a finite number")
    if truth.all() or not truth.any():
        raise ValueError("a curve needs genuine and impostor pairs")
    edges, groups = np.unique(values, return_inverse=True)
    genuine = np.bincount(groups[truth], minlength=edges.size)
    impostors = np.bincount(groups[~truth], minlength=edges.size)
    return curve_of_counts(edges, genuine, impostors)


def curve_of_counts(edges: ArrayLike, genuine: ArrayLike, impostors: ArrayLike) -> Curve:
    """The curve of a histogram. edges: (K,) lowest score of each bin, rising; genuine, impostors: (K,) pairs in it.

    Empty bins are left out. Raises ValueError without both genuine and impostor pairs.
    """
    low, hits, false = np.asarray(edges, np.float64), np.asarray(genuine, np.int64), np.asarray(impostors, np.int64)
    if not hits.any() or not false.any():
        raise ValueError("a curve needs genuine and impostor pairs")
    filled = np.flatnonzero((hits > 0) | (false > 0))[::-1]
    return Curve(
        np.append(np.inf, low[filled]),
        np.append(0, hits[filled].cumsum()),
        np.append(0, false[filled].cumsum()),
    )
