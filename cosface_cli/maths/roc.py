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
    """The threshold with the highest accuracy on scores (N,) of pairs that are the same person or not (N,) bool.

    Of the thresholds that do equally well it is the middle of the widest gap between neighbouring scores, so
    that it does not hang on one pair.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    if not values.size:
        raise ValueError("no pairs to choose a threshold on")
    edges, groups = np.unique(values, return_inverse=True)
    genuine = np.bincount(groups[truth], minlength=edges.size)
    impostors = np.bincount(groups[~truth], minlength=edges.size)
    # right[i]: pairs judged rightly when the first i groups are called different
    right = np.concatenate([[0], np.cumsum(impostors - genuine)]) + genuine.sum()
    below = np.concatenate([[edges[0] - 1e-6], edges])
    above = np.concatenate([edges, [max(edges[-1] + 1e-6, np.nextafter(edges[-1], np.inf))]])
    best = np.flatnonzero(right == right.max())
    widest = best[np.argmax((above - below)[best])]
    middle = (below[widest] + above[widest]) / 2
    return float(max(middle, np.nextafter(below[widest], np.inf)))  # never the lower score itself, by rounding


def fold_accuracy(scores: ArrayLike, same: ArrayLike, folds: ArrayLike, wrong: ArrayLike | None = None) -> Folds:
    """Accuracy of each fold at the threshold that is best on all the others (Huang 2007, section 5).

    scores: (N,); same: (N,) bool; folds: (N,) int; wrong: (N,) bool, pairs without a score: no threshold is chosen
    on them and each counts as an error. Raises ValueError for fewer than two folds.
    """
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(same, dtype=bool)
    fold = np.asarray(folds)
    lost = np.zeros(values.shape, bool) if wrong is None else np.asarray(wrong, dtype=bool)
    names = np.unique(fold)
    if names.size < 2:
        raise ValueError("one fold alone leaves nothing to choose its threshold on")
    accuracies, thresholds = [], []
    for name in names:
        others = (fold != name) & ~lost
        threshold = best_threshold(values[others], truth[others])
        here = fold == name
        right = ((values[here] >= threshold) == truth[here]) & ~lost[here]
        accuracies.append(float(right.mean()))
        thresholds.append(threshold)
    spread = np.std(accuracies, ddof=1) / np.sqrt(len(accuracies))
    return Folds(tuple(accuracies), tuple(thresholds), float(np.mean(accuracies)), float(spread))


def threshold_at_far(impostors: ArrayLike, far: float) -> float | None:
    """The lowest threshold at which at most far of the impostor scores (N,) are accepted.

    None where the impostors cannot resolve that rate: fewer than 1 / far of them.
    """
    scores = np.sort(np.asarray(impostors, dtype=np.float64))[::-1]
    allowed = allowed_accepts(far, scores.size)
    if allowed < 1:
        return None
    if allowed >= scores.size:
        return float(scores[-1])
    return float(np.nextafter(scores[allowed], np.inf))


def rate_at(scores: ArrayLike, threshold: float) -> tuple[int, int]:
    """How many of scores (N,) reach the threshold, and N."""
    values = np.asarray(scores, dtype=np.float64)
    return int((values >= threshold).sum()), int(values.size)
