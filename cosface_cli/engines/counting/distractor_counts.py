"""A few probes against very many distractors, block by block: counts of all scores, and the nearest to each probe."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.counting.pair_counts import COLUMNS, NOTHING, ROWS, Codes, Kept, PairCounts, PairTally, Read
from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.maths.histogram import UNIT, binned
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.outcomes import OnOutcome, Progress

RANKS = 10


@dataclass(frozen=True, slots=True, eq=False)
class DistractorScores:
    """The scores of all probes with all distractors."""

    counts: PairCounts
    """All pairs of a probe and a distractor, as impostors."""
    nearest: dict[int, NDArray[np.float64]]
    """By number of distractors n: for each probe, the highest scores with the first n, (P, RANKS), descending; -inf
    where there are fewer."""


def count_distractors(
    probes: NDArray[np.float32],
    codes: Codes,
    other: int,
    read: Read,
    total: int,
    sizes: Sequence[int],
    emit: OnOutcome,
    workers: int = 0,
) -> DistractorScores:
    """Compare probes (P, D) of unit length with `total` distractors.

    codes: (P,) identities; other: the code that stands for a distractor; read: rows start to stop of the distractors
    (n, D); sizes: for how many distractors the nearest are recorded. Scores are rounded down to bins, see
    maths.histogram.
    """
    single_threaded()
    threads = workers or cpu_count()
    tally = PairTally(threads)
    best = np.full((len(probes), RANKS), -np.inf, np.float32)
    nearest: dict[int, NDArray[np.float64]] = {}
    firsts = range(0, len(probes), ROWS)
    cuts = sorted({*range(0, total, COLUMNS), *(size for size in sizes if size <= total), total})

    def work(first: int) -> Kept:
        rows = slice(first, first + ROWS)
        with tally.block_counter() as block_counter:
            scores = block_counter.scores(probes[rows], columns)
            block_counter.count(scores)
            nearest_so_far = best[rows]
            better = np.flatnonzero(scores.max(axis=1) > nearest_so_far.min(axis=1))
            if better.size:
                both = np.concatenate([nearest_so_far[better], scores[better]], axis=1)
                nearest_so_far[better] = np.partition(both, both.shape[1] - RANKS, axis=1)[:, -RANKS:]
            return tally.highest(scores, codes[rows], np.full(len(columns), other))

    with ThreadPoolExecutor(threads) as pool:
        for start, stop in pairwise(cuts):
            columns = unit_length(read(start, stop))
            for kept in pool.map(work, firsts):
                tally.keep(NOTHING, kept)
            if stop in sizes:
                nearest[stop] = -np.sort(-binned(best).astype(np.float64), axis=1) / UNIT
            emit(Progress(stop, total))
    return DistractorScores(tally.counts(), nearest)
