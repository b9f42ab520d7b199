"""Recall of an approximate search, measured on rows of the gallery itself against exact search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.vector_file import VectorFile
from cosface_cli.engines.search import Searcher
from cosface_cli.engines.search.flat import FlatSearcher
from cosface_cli.engines.search.near import nearest

_PROBES = 512  # evenly spaced rows whose nearest other row is searched
_NEIGHBOURS = 32  # nearest rows among which one that is not a copy is expected
_COPY = 0.9999  # cosine above which a row is of the same photo, which any search finds


class Sample:
    """Rows of a gallery, each with the nearest other row that is not a copy, by exact search. len(): their number."""

    def __init__(self, vectors: VectorFile) -> None:
        numbers = np.unique(np.linspace(0, len(vectors) - 1, _PROBES).astype(np.int64))
        probes = vectors.take(numbers)
        cosines, ids = nearest(vectors, probes, FlatSearcher(vectors).propose(probes, _NEIGHBOURS), _NEIGHBOURS)
        other = (ids != numbers[:, None]) & (cosines < _COPY)
        self._probes: NDArray[np.float32] = probes[other.any(1)]
        self._want = np.take_along_axis(ids, other.argmax(1)[:, None], 1)[other.any(1)]

    def __len__(self) -> int:
        return len(self._want)

    def recall(self, searcher: Searcher) -> float:
        """The share of rows whose nearest the searcher proposes for k = 1; 1 where the sample is empty."""
        if not len(self):
            return 1.0
        return float((searcher.propose(self._probes, 1) == self._want).any(1).mean())
