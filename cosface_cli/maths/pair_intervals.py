"""Intervals of the rates over all pairs of a set of faces, at every threshold, for any number of pairs.

At each end an interval is the wider one of the exact binomial interval and the interval by resampling people
(maths.bootstrap): a photo is in many pairs, and these are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.maths.bootstrap import DRAWS, identity_draws, percentile_interval
from cosface_cli.maths.intervals import clopper_pearson

GROUPS = 320  # largest number of groups that are resampled: more people than that share groups
_TILE = 1024

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Numbers = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """95 % intervals of a rate, 0..1, at each of T thresholds."""

    low: Floats
    """(T,)."""
    high: Floats
    """(T,)."""


def far_intervals(
    vectors: NDArray[np.float32], people: Codes, thresholds: Floats, draws: int = DRAWS, seed: int = 0
) -> Intervals:
    """Intervals of the false accept rate at thresholds (T,), rising, of unit vectors (N, D) of people (N,)."""
    groups = people % GROUPS
    size, levels = int(groups.max()) + 1, len(thresholds) + 1
    counts = np.zeros(size * size * levels, np.int64)
    for scores, rows, columns, later in _tiles(vectors):
        other = people[rows, None] != people[None, columns]
        reached = np.searchsorted(thresholds, scores, side="right")  # number of thresholds at or below the score
        cells = (groups[rows, None] * size + groups[None, columns]) * levels + reached
        counts += np.bincount(cells[other & later], minlength=counts.size)
    # (G, G, levels): pairs of two groups that reach at least this many thresholds
    by_pair = counts.reshape(size, size, levels)[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
    level_first = np.ascontiguousarray(np.moveaxis(by_pair, 2, 0), dtype=np.float64)  # (levels, G, G)
    drawn = np.stack(list(identity_draws(size, draws, seed))).astype(np.float64)  # (draws, G)
    sums = np.stack([((drawn @ level) * drawn).sum(axis=1) for level in level_first])  # (levels, draws)
    totals = level_first.sum(axis=(1, 2)).astype(np.int64)
    return _wider(totals[1:], np.full(len(thresholds), totals[0]), sums[1:], np.broadcast_to(sums[0], sums[1:].shape))


def tar_intervals(
    vectors: NDArray[np.float32], people: Codes, thresholds: Floats, draws: int = DRAWS, seed: int = 0
) -> Intervals:
    """Intervals of the true accept rate, with the arguments of far_intervals."""
    size = int(people.max()) + 1
    hits, trials = np.zeros((len(thresholds), size), np.int64), np.zeros(size, np.int64)
    for person in range(size):
        faces = vectors[people == person]
        scores = (faces @ faces.T)[np.triu_indices(len(faces), 1)]
        hits[:, person] = (scores[None] >= thresholds[:, None]).sum(axis=1)
        trials[person] = scores.size
    drawn = np.stack(list(identity_draws(size, draws, seed)))  # (draws, K)
    totals = np.broadcast_to(drawn @ trials, (len(thresholds), draws))
    return _wider(hits.sum(axis=1), np.full(len(thresholds), trials.sum()), hits @ drawn.T, totals)


def _wider(hits: Codes, trials: Codes, drawn_hits: Numbers, drawn_trials: Numbers) -> Intervals:
    """hits, trials: (T,) of the pairs; drawn_hits, drawn_trials: (T, draws) of each draw."""
    low, high = np.empty(len(hits)), np.empty(len(hits))
    with np.errstate(invalid="ignore"):
        rates = drawn_hits / drawn_trials
    for row, (hit_count, trial_count) in enumerate(zip(hits, trials, strict=True)):
        exact = clopper_pearson(int(hit_count), int(trial_count))
        resampled = percentile_interval(rates[row]) or exact
        low[row], high[row] = min(exact[0], resampled[0]), max(exact[1], resampled[1])
    return Intervals(low, high)


def _tiles(vectors: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.float32], slice, slice, NDArray[np.bool_]]]:
    """Cosines of a block of rows with a block of columns, the two slices, and which cells have row < column."""
    numbers = np.arange(len(vectors))
    for top in range(0, len(vectors), _TILE):
        rows = slice(top, top + _TILE)
        for left in range(top, len(vectors), _TILE):
            columns = slice(left, left + _TILE)
            yield vectors[rows] @ vectors[columns].T, rows, columns, numbers[rows, None] < numbers[None, columns]
