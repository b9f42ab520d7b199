"""Verification figures from scores: step functions on sorted scores, ties as one group, nothing interpolated.

A pair counts as the same person where score >= threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.maths.rates import allowed_accepts

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Folds:
    """An evaluation in folds. The threshold of each fold is chosen on the others."""

    accuracies: tuple[float, ...]
    """One for each fold, 0..1."""
    thresholds: tuple[float, ...]
    """One for each fold."""
    mean: float
    """Of the accuracies."""
    standard_error: float
    """Of the mean: sd (n - 1) / sqrt(n)."""


def best_threshold(scores: ArrayLike, same: ArrayLike) -> float:
    """The threshold with the highest accuracy on scores (N,); same: (N,) bool, whether each pair is one person.

    If several gaps between neighbouring scores are equally accurate, the result is the middle of the widest gap. So
    it does not depend on a single pair. Raises ValueError without pairs.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    if not values.size:
        raise ValueError("no pairs to choose a threshold on")
    edges, groups = np.unique(values, return_inverse=True)
    genuine = np.bincount(groups[truth], minlength=edges.size)
    impostors = np.bincount(groups[~truth], minlength=edges.size)
    # right[i]: number of correct pairs if the first i groups are classified as different people
    right = np.concatenate([[0], np.cumsum(impostors - genuine)]) + genuine.sum()
    below = np.concatenate([[edges[0] - 1e-6], edges])
    above = np.concatenate([edges, [max(edges[-1] + 1e-6, np.nextafter(edges[-1], np.inf))]])
    best = np.flatnonzero(right == right.max())
    widest = best[np.argmax((above - below)[best])]
    middle = (below[widest] + above[widest]) / 2
    return float(max(middle, np.nextafter(below[widest], np.inf)))  # rounding must not give the lower score itself


def fold_accuracy(scores: ArrayLike, same: ArrayLike, folds: ArrayLike, wrong: ArrayLike | None = None) -> Folds:
    """Accuracy of each fold at the threshold that is best on all other folds (Huang 2007, section 5).

    scores: (N,); same: (N,) bool; folds: (N,) int; wrong: (N,) bool, pairs without a score: they do not influence a
    threshold, and each counts as an error. Raises ValueError for fewer than two folds.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    fold = np.asarray(folds)
    unscored = np.zeros(values.shape, bool) if wrong is None else np.asarray(wrong, dtype=bool)
    names = np.unique(fold)
    if names.size < 2:
        raise ValueError("at least two folds are needed: the threshold of a fold is chosen on the others")
    accuracies, thresholds = [], []
    for name in names:
        others = (fold != name) & ~unscored
        threshold = best_threshold(values[others], truth[others])
        members = fold == name
        right = ((values[members] >= threshold) == truth[members]) & ~unscored[members]
        accuracies.append(float(right.mean()))
        thresholds.append(threshold)
    standard_error = np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))
    return Folds(tuple(accuracies), tuple(thresholds), float(np.mean(accuracies)), float(standard_error))


def threshold_at_far(impostors: ArrayLike, far: float) -> float | None:
    """The lowest threshold at which at most far of the impostor scores (N,) are accepted.

    None if there are too few impostors to resolve that rate: fewer than 1 / far.
    """
    scores = np.sort(np.asarray(impostors, dtype=np.float64))[::-1]
    allowed = allowed_accepts(far, scores.size)
    if allowed < 1:
        return None
    if allowed >= scores.size:
        return float(scores[-1])
    return float(np.nextafter(scores[allowed], np.inf))


def count_accepted(scores: ArrayLike, threshold: float) -> tuple[int, int]:
    """The number of scores (N,) at or above the threshold, and N."""
    values = np.asarray(scores, dtype=np.float64)
    return int((values >= threshold).sum()), int(values.size)
