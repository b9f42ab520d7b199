"""How sure the rates over all pairs of some faces are, at every threshold, whatever the number of pairs.

An interval is the wider, at either end, of the exact binomial's and that of drawing people anew (maths.bootstrap): each
photo is in many pairs, which are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.maths.bootstrap import DRAWS, identity_draws, percentile_interval
from cosface_cli.maths.intervals import clopper_pearson

GROUPS = 320  # at most so many are drawn anew: of more people some go together
_TILE = 1024

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


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
    """Of the false accept rate of unit vectors (N, D) of people (N,) at thresholds (T,), rising."""
    groups = people % GROUPS
    size, levels = int(groups.max()) + 1, len(thresholds) + 1
    counts = np.zeros(size * size * levels, np.int64)
    for scores, rows, columns, later in _tiles(vectors):
        other = people[rows, None] != people[None, columns]
        reached = np.searchsorted(thresholds, scores, side="right")  # how many thresholds
        cells = (groups[rows, None] * size + groups[None, columns]) * levels + reached
        counts += np.bincount(cells[other & later], minlength=counts.size)
    by_pair = counts.reshape(size, size, levels)[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]  # that reach so many or more
    level_first = np.ascontiguousarray(np.moveaxis(by_pair, 2, 0), dtype=np.float64)  # (levels, G, G)
    drawn = np.stack(list(identity_draws(size, draws, seed))).astype(np.float64)  # (draws, G)
    sums = np.stack([((drawn @ level) * drawn).sum(axis=1) for level in level_first])  # (levels, draws)
    totals = level_first.sum(axis=(1, 2)).astype(np.int64)
    return _wider(totals[1:], np.full(len(thresholds), totals[0]), sums[1:], np.broadcast_to(sums[0], sums[1:].shape))


def tar_intervals(
    vectors: NDArray[np.float32], people: Codes, thresholds: Floats, draws: int = DRAWS, seed: int = 0
) -> Intervals:
    """Of the true accept rate, as far_intervals."""
    size = int(people.max()) + 1
    hits, trials = np.zeros((len(thresholds), size), np.int64), np.zeros(size, np.int64)
    for person in range(size):
        own = vectors[people == person]
        scores = (own @ own.T)[np.triu_indices(len(own), 1)]
        hits[:, person] = (scores[None] >= thresholds[:, None]).sum(axis=1)
        trials[person] = scores.size
    drawn = np.stack(list(identity_draws(size, draws, seed)))  # (draws, K)
    totals = np.broadcast_to(drawn @ trials, (len(thresholds), draws))
    return _wider(hits.sum(axis=1), np.full(len(thresholds), trials.sum()), hits @ drawn.T, totals)


def _wider(hits: Codes, trials: Codes, drawn_hits: NDArray[Any], drawn_trials: NDArray[Any]) -> Intervals:
    """hits, trials: (T,); the same of each draw: (T, draws)."""
    low, high = np.empty(len(hits)), np.empty(len(hits))
    with np.errstate(invalid="ignore"):
        rates = drawn_hits / drawn_trials
    for row, (some, all_) in enumerate(zip(hits, trials, strict=True)):
        exact = clopper_pearson(int(some), int(all_))
        resampled = percentile_interval(rates[row]) or exact
        low[row], high[row] = min(exact[0], resampled[0]), max(exact[1], resampled[1])
    return Intervals(low, high)


def _tiles(vectors: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.float32], slice, slice, NDArray[np.bool_]]]:
    """Cosines of blocks of rows with blocks of columns, and which of them are of two rows in their order."""
    numbers = np.arange(len(vectors))
    for top in range(0, len(vectors), _TILE):
        rows = slice(top, top + _TILE)
        for left in range(top, len(vectors), _TILE):
            columns = slice(left, left + _TILE)
            yield vectors[rows] @ vectors[columns].T, rows, columns, numbers[rows, None] < numbers[None, columns]
