"""The faces of an index, as grouping and enrolling see them: keys, rows, vectors, neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index_files import IndexRows, read_header
from cosface_cli.artifacts.people import face_key
from cosface_cli.artifacts.rows import Row
from cosface_cli.engines.search import SEARCHERS, Searcher

BLOCK = 1024  # faces whose vectors are in memory at a time


class Faces:
    """An index open for reading; use as a context manager. len(): how many faces."""

    def __init__(self, root: Path) -> None:
        """Raises CosfaceError for a folder that is no index, or a damaged one."""
        self.root = root
        self.header = read_header(root)
        self._searcher: Searcher = SEARCHERS.load(self.header.engine).open(
            root / self.header.vectors, self.header.size, self.header.rows
        )
        self._rows = IndexRows(root / self.header.names, self.header.rows)

    def __len__(self) -> int:
        return self.header.rows

    def __enter__(self) -> Faces:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._rows.__exit__(kind, error, at)

    def rows(self) -> Iterator[Row]:
        """What is known of each face, in order."""
        return iter(self._rows)

    def row(self, number: int) -> Row:
        return self._rows[number]

    def keys(self) -> list[str]:
        """What each face is known by (see artifacts.people)."""
        return [face_key(row) for row in self._rows]

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """Unit vectors (stop - start, D)."""
        return self._searcher.vectors(start, stop)

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The unit vectors (n, D) of some faces."""
        return np.concatenate([self.vectors(number, number + 1) for number in numbers.tolist()])

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All unit vectors, block by block, each with the number of its first."""
        for low in range(0, len(self), BLOCK):
            yield low, self.vectors(low, min(low + BLOCK, len(self)))

    def nearest(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Cosines and numbers (N, K) of the nearest faces of each vector (N, D), best first."""
        return self._searcher.search(vectors, k)
