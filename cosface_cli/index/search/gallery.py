"""An index opened for searching. Rows are numbered through all segments, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.index_folder import IndexHeader, Segment, read_header, require_whole
from cosface_cli.artifacts.index.index_rows import IndexRows, RowSummary
from cosface_cli.artifacts.index.vector_file import VectorFile
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.engines.search import SEARCHERS, Searcher
from cosface_cli.engines.search.flat import FlatSearcher
from cosface_cli.engines.search.near import nearest
from cosface_cli.errors import CosfaceError, DamagedError


class GalleryPart:
    """A segment of a gallery. len(): rows."""

    def __init__(self, root: Path, header: IndexHeader, segment: Segment, start: int) -> None:
        """start: the number of the segment's first row in the gallery."""
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
        """The search that the segment was built for; opened at the first use."""
        if self._searcher is None:
            if self.segment.search not in SEARCHERS:
                raise DamagedError(f"unknown search engine {self.segment.search!r}", self.rows.path)
            engine = SEARCHERS.load(self.segment.search)
            self._searcher = engine.open(self.vectors, self._lists, self._uri, self.segment.settings)
        return self._searcher

    @property
    def exact(self) -> FlatSearcher:
        """Exact search; opened at the first use."""
        if self._exact is None:
            self._exact = FlatSearcher(self.vectors)
        return self._exact

    def local_numbers(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of this segment among ascending gallery row numbers, counted from the segment's first row."""
        low, high = np.searchsorted(numbers, [self.start, self.start + len(self)])
        return numbers[low:high] - self.start


class Gallery:
    """An index folder, opened. len(): rows."""

    def __init__(self, root: Path, exact: bool = False) -> None:
        """exact: compare with every row, even if the index was built for approximate search.

        Raises CosfaceError for a folder that is not an index, DamagedError if its files do not match its header.
        """
        self.root, self._exact = root, exact
        while True:
            self.header = read_header(root)
            try:
                self.parts = self._open_parts()
                return
            except CosfaceError:
                if read_header(root) == self.header:  # else another process has just replaced the index: try again
                    raise

    def _open_parts(self) -> list[GalleryPart]:
        require_whole(self.root, self.header)
        starts = np.cumsum([0, *(segment.rows for segment in self.header.segments)]).tolist()
        parts = [
            GalleryPart(self.root, self.header, segment, start)
            for segment, start in zip(self.header.segments, starts, strict=False)
        ]
        for part in parts:
            self._searcher(part)  # opened now, so that damaged files are reported before the first search
        return parts

    def _searcher(self, part: GalleryPart) -> Searcher:
        return part.exact if self._exact else part.searcher

    def __len__(self) -> int:
        return self.header.rows

    def search(
        self, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Cosines and row numbers (M, K) of the K = min(k, rows) nearest rows to each probe (M, D) of unit length, best
        first, equal ones in the order of their numbers; the same for every batch size.

        among: search only these rows (ascending numbers), exactly.
        """
        keep = min(k, len(self) if among is None else len(among))
        if len(self.parts) == 1:
            scores, ids = self._search_part(self.parts[0], probes, k, among)
            return scores[:, :keep], ids[:, :keep]
        cosines, numbers = [np.zeros((len(probes), 0))], [np.zeros((len(probes), 0), np.int64)]
        for part in self.parts:
            scores, ids = self._search_part(part, probes, k, among)
            cosines.append(scores)
            numbers.append(np.where(ids < 0, ids, ids + part.start))
        scores, ids = np.concatenate(cosines, 1), np.concatenate(numbers, 1)
        order = np.lexsort((ids, -scores), axis=1)[:, :keep]
        return np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)

    def _search_part(
        self, part: GalleryPart, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        if among is not None:
            return nearest(part.vectors, probes, part.exact.propose(probes, k, part.local_numbers(among)), k)
        scores, ids = nearest(part.vectors, probes, self._searcher(part).propose(probes, k), k)
        short = np.flatnonzero((ids < 0).any(1))
        if len(short):  # the lists that were searched hold fewer than k rows
            short_probes = probes[short]
            scores[short], ids[short] = nearest(part.vectors, short_probes, part.exact.propose(short_probes, k), k)
        return scores, ids

    def row(self, number: int) -> FaceRow:
        """The data of a row."""
        part, local = self._locate(number)
        return part.rows[local]

    def identity(self, number: int) -> str | None:
        """The identity of a row."""
        part, local = self._locate(number)
        return part.rows.identity(local)

    def summaries(self, numbers: NDArray[np.int64]) -> list[RowSummary]:
        """Identity, source, face and box of some rows (n,)."""
        if len(self.parts) == 1:
            return self.parts[0].rows.summaries(numbers)
        by_position: dict[int, RowSummary] = {}
        for part in self.parts:
            positions = np.flatnonzero((numbers >= part.start) & (numbers < part.start + len(part)))
            of_part = part.rows.summaries(numbers[positions] - part.start)
            by_position.update(zip(positions.tolist(), of_part, strict=True))
        return [by_position[position] for position in sorted(by_position)]

    def vectors(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The vectors (..., D) of these rows (...,)."""
        out = np.empty((*numbers.shape, self.header.size), np.float32)
        for part in self.parts:
            mask = (numbers >= part.start) & (numbers < part.start + len(part))
            out[mask] = part.vectors.take(numbers[mask] - part.start)
        return out

    def rows(self) -> Iterator[FaceRow]:
        """All rows, in order."""
        for part in self.parts:
            yield from part.rows

    def _locate(self, number: int) -> tuple[GalleryPart, int]:
        for part in self.parts:
            if part.start <= number < part.start + len(part):
                return part, number - part.start
        raise IndexError(number)
