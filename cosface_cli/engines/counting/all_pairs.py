"""Every pair of many embeddings, counted block by block: memory hangs on the blocks, not on how many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue

import cv2
import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.maths.histogram import BINS, SPARE, UNIT, Counts, binned, count_into
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.outcomes import OnOutcome, Progress

ROWS, COLUMNS = 1024, 4096  # of a block of scores: 16 MB
HELD = 16 * ROWS  # rows kept while the others pass by: fewer means reading all more often
KEPT = 1 << 20  # impostor pairs with the highest scores that are kept, and genuine pairs
OUTSIDE = -4.0  # the score of a pair that does not count here
Read = Callable[[int, int], NDArray[np.float32]]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """genuine, impostors: (BINS,) see maths.histogram, every pair once; top: the KEPT impostor pairs with the highest
    scores, ties at the end left out; genuine_pairs: all genuine ones, None where they are more than KEPT."""

    genuine: Counts
    impostors: Counts
    top: KeptPairs
    genuine_pairs: KeptPairs | None


@dataclass(frozen=True, slots=True, eq=False)
class KeptPairs:
    """scores: (T,) float64, rounded down to bins; left, right: (T,) identity codes of the two sides; in no order."""

    scores: NDArray[np.float64]
    left: Codes
    right: Codes


def count_all_pairs(read: Read, codes: Codes, emit: OnOutcome, workers: int = 0) -> PairCounts:
    """Count each pair of N embeddings once, by whether their codes (N,) are equal.

    read: rows start to stop as (n, D) float32. workers: threads, 0 for one a core; the counts are the same with any.
    """
    total = len(codes)
    single_threaded()
    threads = workers or cpu_count()
    tally = Tally(threads)
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        for low in range(0, total, HELD):
            held = unit_length(read(low, min(low + HELD, total)))
            for start in range(low, total, COLUMNS):
                stop = min(start + COLUMNS, total)
                columns = held[start - low : stop - low] if stop - low <= len(held) else unit_length(read(start, stop))
                order = np.argsort(codes[start:stop], kind="stable")
                blocks = [
                    _Block(
                        held[r - low : r - low + ROWS],
                        columns,
                        codes[r : r + ROWS],
                        codes[start:stop],
                        order,
                        start - r,
                    )
                    for r in range(low, min(low + len(held), stop), ROWS)
                ]
                for block, kept in zip(blocks, pool.map(tally.count, blocks), strict=True):
                    tally.keep(*kept)
                    done += block.pairs
                emit(Progress(done, total * (total - 1) // 2))
    return tally.counts()


@dataclass(frozen=True, slots=True, eq=False)
class _Block:
    """Pairs of rows (R, D) and columns (C, D). order: of column_codes, sorted; offset: of the first column behind the
    first row: a pair counts where its column comes later."""

    rows: NDArray[np.float32]
    columns: NDArray[np.float32]
    row_codes: Codes
    column_codes: Codes
    order: Codes
    offset: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "row_codes", self.row_codes[: len(self.rows)])

    @property
    def later(self) -> NDArray[np.bool_] | None:
        """(R, C) which pairs count; None for all."""
        if self.offset >= len(self.rows):
            return None
        return np.arange(len(self.columns))[None, :] + self.offset > np.arange(len(self.rows))[:, None]

    @property
    def pairs(self) -> int:
        """How many pairs count."""
        later = self.later
        return len(self.rows) * len(self.columns) if later is None else int(later.sum())


def _equal(row_codes: Codes, column_codes: Codes, order: Codes) -> tuple[Codes, Codes]:
    """Where the codes of a row and of a column are equal: row and column of each such place."""
    ordered = column_codes[order]
    first = np.searchsorted(ordered, row_codes, side="left")
    count = np.searchsorted(ordered, row_codes, side="right") - first
    rows = np.repeat(np.arange(len(row_codes)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return rows, order[np.repeat(first, count) + within]


Kept = tuple[NDArray[np.float32], Codes, Codes]  # bins, codes of the two sides


NOTHING: Kept = (np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))


class Desk:
    """Where a thread works on one block after the other, in the same memory; counts: all that it has counted."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self._room = np.empty(ROWS * COLUMNS, np.float32)

    def scores(self, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosines (R, C) of rows (R, D) and columns (C, D), which hold until the next ones."""
        out = self._room[: len(rows) * len(columns)].reshape(len(rows), len(columns))
        return np.matmul(rows, columns.T, out=out)

    def count(self, scores: NDArray[np.float32]) -> None:
        """Add scores, but for those OUTSIDE, to the counts."""
        # OpenCV is half as fast again as numpy. It finds a bin in double precision, so exactly, but for what is no more
        # than 1e-16 below 0; its own counts are of single precision, which holds those of one block
        found = cv2.calcHist([scores], [0], None, [BINS], [-BINS / 2 / UNIT, BINS / 2 / UNIT])
        self.counts += found.ravel().astype(np.int64)


class Tally:
    """Adds blocks up, in any order. floor: the bin below which no impostor pair is among the KEPT highest."""

    def __init__(self, threads: int) -> None:
        self.floor = -2.0 * UNIT
        self._desks: SimpleQueue[Desk] = SimpleQueue()
        for _ in range(threads):
            self._desks.put(Desk())
        self._genuine = np.zeros(BINS, np.int64)
        self._genuine_count = 0
        self._genuine_pairs: list[Kept] | None = []
        self._top: list[Kept] = []

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        """A desk for one block; no more threads may ask than there are."""
        desk = self._desks.get()
        yield desk
        self._desks.put(desk)

    def count(self, block: _Block) -> tuple[Kept, Kept]:
        """In a thread: count a block, and give its genuine pairs and its highest impostor pairs."""
        one, other = _equal(block.row_codes, block.column_codes, block.order)
        later = block.later
        with self.desk() as desk:
            scores = desk.scores(block.rows, block.columns)
            if later is not None:
                scores[~later] = OUTSIDE
                kept = later[one, other]
                one, other = one[kept], other[kept]
            desk.count(scores)
            genuine = binned(scores[one, other])
            scores[one, other] = OUTSIDE
            who = block.row_codes[one]
            return (genuine, who, who), self.highest(scores, block.row_codes, block.column_codes)

    def highest(self, scores: NDArray[np.float32], row_codes: Codes, column_codes: Codes) -> Kept:
        """Of scores (R, C) of impostor pairs those that may be among the KEPT highest."""
        high = np.flatnonzero(scores.ravel() >= np.float32(self.floor / UNIT))
        left, right = np.divmod(high, scores.shape[1])
        return binned(scores.ravel()[high]), row_codes[left], column_codes[right]

    def keep(self, genuine: Kept, top: Kept) -> None:
        """Take in what a block gave."""
        count_into(self._genuine, genuine[0])
        self._genuine_count += len(genuine[0])
        if self._genuine_pairs is not None:
            self._genuine_pairs.append(genuine)
            if self._genuine_count > KEPT:
                self._genuine_pairs = None
        self._top.append(top)
        if sum(len(bins) for bins, _, _ in self._top) > 2 * KEPT:
            bins, left, right = _joined(self._top)
            self.floor = float(np.partition(bins, len(bins) - KEPT)[len(bins) - KEPT])
            keep = bins >= self.floor
            self._top = [(bins[keep], left[keep], right[keep])]

    def counts(self) -> PairCounts:
        impostors = -self._genuine
        while not self._desks.empty():
            impostors += self._desks.get().counts
        from_top = impostors[::-1].cumsum()[::-1]  # pairs in each bin and above
        lowest = int(np.flatnonzero(from_top > KEPT).max(initial=-1)) + 1  # the lowest bin that is kept whole
        bins, left, right = _joined(self._top)
        keep = bins >= lowest - (UNIT + SPARE)
        top = KeptPairs(bins[keep] / np.float64(UNIT), left[keep], right[keep])
        genuine = None
        if self._genuine_pairs is not None:
            bins, left, right = _joined(self._genuine_pairs)
            genuine = KeptPairs(bins / np.float64(UNIT), left, right)
        return PairCounts(self._genuine, impostors, top, genuine)


def _joined(parts: list[Kept]) -> Kept:
    if not parts:
        return NOTHING
    bins, left, right = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return bins, left, right
