"""How often an approximate search finds: measured on the rows of the gallery itself, against exact search."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.vector_file import VectorFile
from cosface_cli.engines.search import Searcher
from cosface_cli.engines.search.flat import FlatSearcher
from cosface_cli.engines.search.near import nearest

_PROBES = 512  # rows, lying evenly, whose nearest other is searched
_LOOKED_AT = 32  # nearest rows, for one that is no copy
_COPY = 0.9999  # cosine from which on another row is the same photo, which any search finds


class Sample:
    """Rows of a gallery with what an exact search says is the nearest other row, no copy. len(): how many have one."""

    def __init__(self, vectors: VectorFile) -> None:
        numbers = np.unique(np.linspace(0, len(vectors) - 1, _PROBES).astype(np.int64))
        probes = vectors.take(numbers)
        cosines, ids = nearest(vectors, probes, FlatSearcher(vectors).propose(probes, _LOOKED_AT), _LOOKED_AT)
        other = (ids != numbers[:, None]) & (cosines < _COPY)
        self._probes: NDArray[np.float32] = probes[other.any(1)]
        self._want = np.take_along_axis(ids, other.argmax(1)[:, None], 1)[other.any(1)]

    def __len__(self) -> int:
        return len(self._want)

    def recall(self, searcher: Searcher) -> float:
        """The share for which it is proposed when one is asked for; 1 where there is nothing to find."""
        if not len(self):
            return 1.0
        return float((searcher.propose(self._probes, 1) == self._want).any(1).mean())
