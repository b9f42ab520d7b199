"""All pairs of some faces, counted by score, and the intervals of the rates that they give.

A pair counts from the edge below its score on: a rate at an edge is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.maths.bootstrap import DRAWS, identity_draws, percentile_interval
from cosface_cli.maths.intervals import clopper_pearson

STEPS = 10_000  # to a cosine of 1
EDGES = np.arange(-STEPS, STEPS + 2) / STEPS  # the last one no pair reaches
GROUPS = 320  # at most so many are drawn anew: of more people some go together
_TILE = 1024

Counts = NDArray[np.int64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """genuine, impostors: (len(EDGES),) pairs whose score is from each edge on, below the next."""

    genuine: Counts
    impostors: Counts


def histogram(vectors: NDArray[np.float32], people: Codes) -> Histogram:
    """Of all pairs of unit vectors (N, D) of people (N,)."""
    genuine, impostors = np.zeros(EDGES.size, np.int64), np.zeros(EDGES.size, np.int64)
    for scores, rows, columns, later in _tiles(vectors):
        bins = _bins(scores)
        same = people[rows, None] == people[None, columns]
        genuine += np.bincount(bins[same & later], minlength=EDGES.size)
        impostors += np.bincount(bins[~same & later], minlength=EDGES.size)
    return Histogram(genuine, impostors)


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """low, high: (T,) of a rate at each of T thresholds, 95 %, 0..1."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


def far_intervals(
    vectors: NDArray[np.float32], people: Codes, edges: Codes, draws: int = DRAWS, seed: int = 0
) -> Intervals:
    """Of the false accept rate from each edge on; edges: (T,) rising places in EDGES.

    The interval is the wider, at either end, of the exact binomial's and that of drawing people anew: each photo is in
    many pairs, which are not independent.
    """
    groups = people % GROUPS
    size, levels = int(groups.max()) + 1, len(edges) + 1
    reached = np.searchsorted(edges, np.arange(EDGES.size), side="right")  # by bin, how many thresholds
    counts = np.zeros(size * size * levels, np.int64)
    for scores, rows, columns, later in _tiles(vectors):
        other = people[rows, None] != people[None, columns]
        cells = (groups[rows, None] * size + groups[None, columns]) * levels + reached[_bins(scores)]
        counts += np.bincount(cells[other & later], minlength=counts.size)
    by_pair = counts.reshape(size, size, levels)[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]  # that reach so many or more
    level_first = np.ascontiguousarray(np.moveaxis(by_pair, 2, 0), dtype=np.float64)  # (levels, G, G)
    drawn = np.stack(list(identity_draws(size, draws, seed))).astype(np.float64)  # (draws, G)
    sums = np.stack([((drawn @ level) * drawn).sum(axis=1) for level in level_first])  # (levels, draws)
    totals = level_first.sum(axis=(1, 2)).astype(np.int64)
    return _wider(totals[1:], np.full(len(edges), totals[0]), sums[1:], np.broadcast_to(sums[0], sums[1:].shape))


def tar_intervals(
    vectors: NDArray[np.float32], people: Codes, edges: Codes, draws: int = DRAWS, seed: int = 0
) -> Intervals:
    """Of the true accept rate from each edge on, as far_intervals."""
    size = int(people.max()) + 1
    hits, trials = np.zeros((len(edges), size), np.int64), np.zeros(size, np.int64)
    for person in range(size):
        own = vectors[people == person]
        bins = _bins((own @ own.T)[np.triu_indices(len(own), 1)])
        hits[:, person] = (bins[None] >= edges[:, None]).sum(axis=1)
        trials[person] = bins.size
    drawn = np.stack(list(identity_draws(size, draws, seed)))  # (draws, K)
    totals = np.broadcast_to(drawn @ trials, (len(edges), draws))
    return _wider(hits.sum(axis=1), np.full(len(edges), trials.sum()), hits @ drawn.T, totals)


def _wider(hits: Counts, trials: Counts, drawn_hits: NDArray[Any], drawn_trials: NDArray[Any]) -> Intervals:
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


def _bins(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.clip(np.floor((scores.astype(np.float64) + 1) * STEPS + 1e-6), 0, 2 * STEPS).astype(np.int64)
