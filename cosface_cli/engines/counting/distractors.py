"""A few probes against very many distractors, block by block: every score counted, and each probe's nearest kept."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.counting.all_pairs import COLUMNS, NOTHING, ROWS, Codes, Kept, PairCounts, Read, Tally
from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.maths.histogram import UNIT, binned
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.outcomes import OnOutcome, Progress

RANKS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Distracted:
    """counts: of all pairs of a probe and a distractor, as impostors; nearest: by how many distractors, the first so
    many's highest scores for each probe (P, RANKS), falling, -inf where there are fewer."""

    counts: PairCounts
    nearest: dict[int, NDArray[np.float64]]


def count_distractors(
    probes: NDArray[np.float32],
    codes: Codes,
    other: int,
    read: Read,
    total: int,
    sizes: Sequence[int],
    emit: OnOutcome,
    workers: int = 0,
) -> Distracted:
    """Compare probes (P, D) of unit length with `total` distractors.

    codes: (P,) identities; other: the code that stands for a distractor; read: rows start to stop of them (n, D);
    sizes: after how many the nearest are looked at. Scores are rounded down to bins, see maths.histogram.
    """
    single_threaded()
    threads = workers or cpu_count()
    tally = Tally(threads)
    best = np.full((len(probes), RANKS), -np.inf, np.float32)
    nearest: dict[int, NDArray[np.float64]] = {}
    firsts = range(0, len(probes), ROWS)
    cuts = sorted({*range(0, total, COLUMNS), *(size for size in sizes if size <= total), total})

    def work(first: int) -> Kept:
        rows = slice(first, first + ROWS)
        with tally.desk() as desk:
            scores = desk.scores(probes[rows], columns)
            desk.count(scores)
            own = best[rows]
            better = np.flatnonzero(scores.max(axis=1) > own.min(axis=1))
            if better.size:
                both = np.concatenate([own[better], scores[better]], axis=1)
                own[better] = np.partition(both, both.shape[1] - RANKS, axis=1)[:, -RANKS:]
            return tally.highest(scores, codes[rows], np.full(len(columns), other))

    with ThreadPoolExecutor(threads) as pool:
        for start, stop in pairwise(cuts):
            columns = unit_length(read(start, stop))
            for kept in pool.map(work, firsts):
                tally.keep(NOTHING, kept)
            if stop in sizes:
                nearest[stop] = -np.sort(-binned(best).astype(np.float64), axis=1) / UNIT
            emit(Progress(stop, total))
    return Distracted(tally.counts(), nearest)
