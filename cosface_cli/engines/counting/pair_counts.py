"""Every pair of many embeddings, counted block by block: memory depends on the block size only."""

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

ROWS, COLUMNS = 1024, 4096  # size of a block of scores: 16 MB
ROWS_IN_MEMORY = 16 * ROWS  # while all columns are read once; with fewer, the columns are read more often
MAX_KEPT = 1 << 20  # how many impostor pairs, those with the highest scores, and how many genuine pairs are kept
EXCLUDED = -4.0  # score of a pair that is not counted
Read = Callable[[int, int], NDArray[np.float32]]
Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class PairCounts:
    """Every pair, counted once by its score."""

    genuine: Counts
    """(BINS,), see maths.histogram."""
    impostors: Counts
    """(BINS,)."""
    top: KeptPairs
    """The MAX_KEPT impostor pairs with the highest scores, without ties at the end."""
    genuine_pairs: KeptPairs | None
    """All genuine pairs; None where there are more than MAX_KEPT."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptPairs:
    """Some pairs, in no order."""

    scores: NDArray[np.float64]
    """(T,), rounded down to bins."""
    left: Codes
    """(T,): identity codes of the left sides."""
    right: Codes
    """(T,): identity codes of the right sides."""


def count_all_pairs(read: Read, codes: Codes, emit: OnOutcome, workers: int = 0) -> PairCounts:
    """Count each pair of N embeddings once. A pair is genuine where the codes (N,) of its sides are equal.

    read: rows start to stop as (n, D) float32. workers: threads, 0 for one per core; they do not change the counts.
    """
    total = len(codes)
    single_threaded()
    threads = workers or cpu_count()
    tally = PairTally(threads)
    done = 0
    with ThreadPoolExecutor(threads) as pool:
        for low in range(0, total, ROWS_IN_MEMORY):
            row_vectors = unit_length(read(low, min(low + ROWS_IN_MEMORY, total)))
            for start in range(low, total, COLUMNS):
                stop = min(start + COLUMNS, total)
                columns = (
                    row_vectors[start - low : stop - low]
                    if stop - low <= len(row_vectors)
                    else unit_length(read(start, stop))
                )
                order = np.argsort(codes[start:stop], kind="stable")
                blocks = [
                    _Block(
                        rows=row_vectors[r - low : r - low + ROWS],
                        columns=columns,
                        row_codes=codes[r : r + ROWS],
                        column_codes=codes[start:stop],
                        order=order,
                        offset=start - r,
                    )
                    for r in range(low, min(low + len(row_vectors), stop), ROWS)
                ]
                for block, kept in zip(blocks, pool.map(tally.count, blocks), strict=True):
                    tally.keep(*kept)
                    done += block.pairs
                emit(Progress(done, total * (total - 1) // 2))
    return tally.counts()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Block:
    """Pairs of rows and columns. A pair counts where its column comes after its row."""

    rows: NDArray[np.float32]
    """(R, D)."""
    columns: NDArray[np.float32]
    """(C, D)."""
    row_codes: Codes
    column_codes: Codes
    order: Codes
    """(C,): argsort of column_codes."""
    offset: int
    """Number of the first column minus number of the first row."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "row_codes", self.row_codes[: len(self.rows)])

    @property
    def later(self) -> NDArray[np.bool_] | None:
        """(R, C): which pairs count; None for all."""
        if self.offset >= len(self.rows):
            return None
        return np.arange(len(self.columns))[None, :] + self.offset > np.arange(len(self.rows))[:, None]

    @property
    def pairs(self) -> int:
        """How many pairs count."""
        later = self.later
        return len(self.rows) * len(self.columns) if later is None else int(later.sum())


def _equal(row_codes: Codes, column_codes: Codes, order: Codes) -> tuple[Codes, Codes]:
    """The rows and columns of the genuine pairs: those with equal codes."""
    ordered = column_codes[order]
    first = np.searchsorted(ordered, row_codes, side="left")
    count = np.searchsorted(ordered, row_codes, side="right") - first
    rows = np.repeat(np.arange(len(row_codes)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return rows, order[np.repeat(first, count) + within]


Kept = tuple[NDArray[np.float32], Codes, Codes]  # bins and identity codes of the two sides of some pairs


NOTHING: Kept = (np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64))


class BlockCounter:
    """Scores and counts one block after the other in the same memory. counts: all that it has counted."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self._memory = np.empty(ROWS * COLUMNS, np.float32)

    def scores(self, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosines (R, C) of rows (R, D) and columns (C, D). The next call overwrites them."""
        out = self._memory[: len(rows) * len(columns)].reshape(len(rows), len(columns))
        return np.matmul(rows, columns.T, out=out)

    def count(self, scores: NDArray[np.float32]) -> None:
        """Add scores to the counts, except those that are EXCLUDED."""
        # OpenCV is 1.5 times as fast as numpy. It computes bins in double precision, so exactly, except for scores that
        # are less than 1e-16 below 0. Its counts are in single precision, which suffices for one block
        counts = cv2.calcHist([scores], [0], None, [BINS], [-BINS / 2 / UNIT, BINS / 2 / UNIT])
        self.counts += counts.ravel().astype(np.int64)


class PairTally:
    """Adds up blocks, in any order. lowest_kept: impostor pairs in lower bins are not among the MAX_KEPT highest."""

    def __init__(self, threads: int) -> None:
        self.lowest_kept = -2.0 * UNIT
        self._block_counters: SimpleQueue[BlockCounter] = SimpleQueue()
        for _ in range(threads):
            self._block_counters.put(BlockCounter())
        self._genuine = np.zeros(BINS, np.int64)
        self._genuine_count = 0
        self._genuine_pairs: list[Kept] | None = []
        self._top: list[Kept] = []

    @contextmanager
    def block_counter(self) -> Iterator[BlockCounter]:
        """A counter for one block. At most `threads` blocks at a time."""
        block_counter = self._block_counters.get()
        yield block_counter
        self._block_counters.put(block_counter)

    def count(self, block: _Block) -> tuple[Kept, Kept]:
        """In a thread: count a block. Returns its genuine pairs and its highest impostor pairs."""
        one, other = _equal(block.row_codes, block.column_codes, block.order)
        later = block.later
        with self.block_counter() as block_counter:
            scores = block_counter.scores(block.rows, block.columns)
            if later is not None:
                scores[~later] = EXCLUDED
                counted = later[one, other]
                one, other = one[counted], other[counted]
            block_counter.count(scores)
            genuine = binned(scores[one, other])
            scores[one, other] = EXCLUDED
            identities = block.row_codes[one]
            return (genuine, identities, identities), self.highest(scores, block.row_codes, block.column_codes)

    def highest(self, scores: NDArray[np.float32], row_codes: Codes, column_codes: Codes) -> Kept:
        """Those of the scores (R, C) of impostor pairs that may be among the MAX_KEPT highest."""
        high = np.flatnonzero(scores.ravel() >= np.float32(self.lowest_kept / UNIT))
        left, right = np.divmod(high, scores.shape[1])
        return binned(scores.ravel()[high]), row_codes[left], column_codes[right]

    def keep(self, genuine: Kept, top: Kept) -> None:
        """Add the pairs that a block returned."""
        count_into(self._genuine, genuine[0])
        self._genuine_count += len(genuine[0])
        if self._genuine_pairs is not None:
            self._genuine_pairs.append(genuine)
            if self._genuine_count > MAX_KEPT:
                self._genuine_pairs = None
        self._top.append(top)
        if sum(len(bins) for bins, _, _ in self._top) > 2 * MAX_KEPT:
            bins, left, right = _joined(self._top)
            self.lowest_kept = float(np.partition(bins, len(bins) - MAX_KEPT)[len(bins) - MAX_KEPT])
            keep = bins >= self.lowest_kept
            self._top = [(bins[keep], left[keep], right[keep])]

    def counts(self) -> PairCounts:
        impostors = -self._genuine
        while not self._block_counters.empty():
            impostors += self._block_counters.get().counts
        from_top = impostors[::-1].cumsum()[::-1]  # pairs in each bin and above
        lowest = int(np.flatnonzero(from_top > MAX_KEPT).max(initial=-1)) + 1  # the lowest bin kept whole
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
