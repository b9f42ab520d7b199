"""The ROC as a step function on sorted scores: ties are one group, nothing is interpolated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Curve:
    """How many pairs are accepted at each threshold (score >= threshold), from the strictest to the loosest.

    thresholds: (K,) float64, inf first, then every distinct score, falling; genuine, impostors: (K,) int64, accepted.
    """

    thresholds: NDArray[np.float64]
    genuine: NDArray[np.int64]
    impostors: NDArray[np.int64]

    @property
    def tar(self) -> NDArray[np.float64]:
        """(K,) true accept rates, 0..1."""
        return np.asarray(self.genuine / self.genuine[-1], dtype=np.float64)

    @property
    def far(self) -> NDArray[np.float64]:
        """(K,) false accept rates, 0..1."""
        return np.asarray(self.impostors / self.impostors[-1], dtype=np.float64)


def roc(scores: ArrayLike, same: ArrayLike) -> Curve:
    """The curve of scores (N,) of pairs that are the same person or not (N,) bool.

    Raises ValueError where a score is not finite, or without both genuine and impostor pairs.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    if not np.isfinite(values).all():
        raise ValueError("a score is not a finite number")
    if truth.all() or not truth.any():
        raise ValueError("a curve needs genuine and impostor pairs")
    edges, groups = np.unique(values, return_inverse=True)
    genuine = np.bincount(groups[truth], minlength=edges.size)[::-1].cumsum()
    impostors = np.bincount(groups[~truth], minlength=edges.size)[::-1].cumsum()
    return Curve(np.concatenate([[np.inf], edges[::-1]]), np.append(0, genuine), np.append(0, impostors))
