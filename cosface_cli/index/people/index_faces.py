"""The faces of an index as grouping and identification read them: rows, keys, vectors, neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.people_file import face_key
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.index.search.gallery import Gallery

BLOCK = 1024  # faces whose vectors are in memory at a time


class IndexFaces:
    """An index open for reading. len(): faces."""

    def __init__(self, root: Path) -> None:
        """Raises CosfaceError for a folder that is not an index, DamagedError if its files do not match its header."""
        self.root = root
        self._gallery = Gallery(root)
        self.header = self._gallery.header

    def __len__(self) -> int:
        return len(self._gallery)

    def rows(self) -> Iterator[FaceRow]:
        """The row of each face, in order."""
        return self._gallery.rows()

    def row(self, number: int) -> FaceRow:
        """The row of one face."""
        return self._gallery.row(number)

    def keys(self) -> list[str]:
        """The key of each face, see artifacts.index.people_file."""
        return [face_key(row) for row in self.rows()]

    def take(self, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        """The unit vectors (n, D) of these faces."""
        return self._gallery.vectors(numbers)

    def blocks(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """All unit vectors, block by block, each block with the number of its first face."""
        for low in range(0, len(self), BLOCK):
            yield low, self.take(np.arange(low, min(low + BLOCK, len(self))))

    def nearest(self, vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Cosines and numbers (N, K) of the nearest faces of each vector (N, D), best first."""
        return self._gallery.search(vectors, k)
