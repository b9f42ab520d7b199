"""An index, opened for searching: rows are numbered through its segments, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.index_folder import IndexHeader, Segment, read_header, require_whole
from cosface_cli.artifacts.index.index_rows import IndexRows, Shown
from cosface_cli.artifacts.index.vector_file import VectorFile
from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.engines.search import SEARCHERS, Search, Searcher
from cosface_cli.engines.search.flat import FlatSearcher
from cosface_cli.engines.search.near import nearest
from cosface_cli.errors import CosfaceError, DamagedError


class Part:
    """A segment. start: the number of its first row; rows, vectors: what it holds."""

    def __init__(self, root: Path, header: IndexHeader, segment: Segment, start: int) -> None:
        self.segment, self.start = segment, start
        self.rows = IndexRows(root / segment.names, segment.rows)
        self.vectors = VectorFile(root / segment.vectors, header.size, segment.rows)
        self._lists = str(root / segment.lists) if segment.lists in header.files else segment.lists
        self._uri = header.uri
        self._searcher: Searcher | None = None
        self._exact: FlatSearcher | None = None

    def __len__(self) -> int:
        return self.segment.rows

    @property
    def searcher(self) -> Searcher:
        """How it is searched."""
        if self._searcher is None:
            if self.segment.search not in SEARCHERS:
                raise DamagedError(f"it is searched by {self.segment.search!r}, which is not known", self.rows.path)
            engine: Search = SEARCHERS.load(self.segment.search)
            self._searcher = engine.open(self.vectors, self._lists, self._uri, self.segment.settings)
        return self._searcher

    @property
    def exact(self) -> FlatSearcher:
        """Exact search in it."""
        if self._exact is None:
            self._exact = FlatSearcher(self.vectors)
        return self._exact


class Gallery:
    """An index folder, opened. len(): rows; header: what it says of itself; parts: its segments."""

    def __init__(self, root: Path, exact: bool = False) -> None:
        """exact: look at every row, whatever the index is made for. Raises CosfaceError for what is no index,
        DamagedError where its files are not what it says."""
        self.root, self._exact = root, exact
        while True:
            self.header = read_header(root)
            try:
                self.parts = self._opened()
                return
            except CosfaceError:
                if read_header(root) == self.header:  # else another process has just replaced it
                    raise

    def _opened(self) -> list[Part]:
        require_whole(self.root, self.header)
        starts = np.cumsum([0, *(segment.rows for segment in self.header.segments)]).tolist()
        parts = [Part(self.root, self.header, s, start) for s, start in zip(self.header.segments, starts, strict=False)]
        for part in parts:
            _ = part.exact if self._exact else part.searcher
        return parts

    def __len__(self) -> int:
        return self.header.rows

    def search(
        self, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Cosines and numbers (M, K) of the K = min(k, rows) nearest rows to each probe (M, D) of unit length, best
        first, equal ones in the order of their numbers; the same whatever the batch.

        among: only these rows, ascending; they are all looked at.
        """
        keep = min(k, len(self) if among is None else len(among))
        if len(self.parts) == 1:
            scores, ids = self._within(self.parts[0], probes, k, among)
            return scores[:, :keep], ids[:, :keep]
        cosines, numbers = [np.zeros((len(probes), 0))], [np.zeros((len(probes), 0), np.int64)]
        for part in self.parts:
            scores, ids = self._within(part, probes, k, among)
            cosines.append(scores)
            numbers.append(np.where(ids < 0, ids, ids + part.start))
        scores, ids = np.concatenate(cosines, 1), np.concatenate(numbers, 1)
        order = np.lexsort((ids, -scores), axis=1)[:, :keep]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)

    def _within(
        self, part: Part, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        if among is not None:
            own = (
                among[np.searchsorted(among, part.start) : np.searchsorted(among, part.start + len(part))] - part.start
            )
            return nearest(part.vectors, probes, part.exact.propose(probes, k, own), k)
        if self._exact:
            return nearest(part.vectors, probes, part.exact.propose(probes, k), k)
        scores, ids = nearest(part.vectors, probes, part.searcher.propose(probes, k), k)
        short = np.flatnonzero((ids < 0).any(1))
        if len(short):  # more were asked for than the lists looked through hold
            again = probes[short]
            scores[short], ids[short] = nearest(part.vectors, again, part.exact.propose(again, k), k)
        return scores, ids

    def row(self, number: int) -> Row:
        """What is known of a row."""
        part, own = self._at(number)
        return part.rows[own]

    def identity(self, number: int) -> str | None:
        """Whose face a row is."""
        part, own = self._at(number)
        return part.rows.identity(own)

    def shown(self, numbers: NDArray[np.int64]) -> list[Shown]:
        """What people are shown of some rows (n,)."""
        if len(self.parts) == 1:
            return self.parts[0].rows.shown(numbers)
        out: list[Shown | None] = [None] * len(numbers)
        for part in self.parts:
            own = np.flatnonzero((numbers >= part.start) & (numbers < part.start + len(part)))
            for at, found in zip(own.tolist(), part.rows.shown(numbers[own] - part.start), strict=True):
                out[at] = found
        return [found for found in out if found is not None]

    def vectors(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors (..., D) of these rows (...,)."""
        out = np.empty((*numbers.shape, self.header.size), np.float32)
        for part in self.parts:
            own = (numbers >= part.start) & (numbers < part.start + len(part))
            out[own] = part.vectors.take(numbers[own] - part.start)
        return out

    def rows(self) -> Iterator[Row]:
        """All rows, in order."""
        for part in self.parts:
            yield from part.rows

    def _at(self, number: int) -> tuple[Part, int]:
        for part in self.parts:
            if part.start <= number < part.start + len(part):
                return part, number - part.start
        raise IndexError(number)
