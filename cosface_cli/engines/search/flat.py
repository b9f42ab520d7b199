"""Exact search by FAISS's inner products, over the vectors where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.vector_file import VectorFile
from cosface_cli.engines.runners.local import cpu_count
from cosface_cli.engines.search import RECALL, Built

# Equal vectors can come back in any order, and the last bits of a cosine depend on the batch: so many more than asked
# for are proposed, to be scored again in double precision.
SPARE = 16
_KNN: Any = faiss.knn_inner_product  # its stub knows no selector
_FEW = 2
_MANY = 1 << 22  # numbers of a gallery from which on one probe is worth several threads


class Flat:
    """See Search: nothing is built but the file of the vectors."""

    @staticmethod
    def build(vectors: VectorFile, part: Path, uri: str | None = None, recall: float = RECALL) -> Built:
        return Built()

    @staticmethod
    def open(
        vectors: VectorFile, lists: str | None = None, uri: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> FlatSearcher:
        return FlatSearcher(vectors)


class FlatSearcher:
    """See Searcher."""

    def __init__(self, vectors: VectorFile) -> None:
        self._vectors = vectors

    def propose(self, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """See Searcher.propose. among: only these ids."""
        count = len(self._vectors)
        wide = min(k + SPARE, count if among is None else len(among))
        if not wide or not len(probes):
            return np.zeros((len(probes), 0), np.int64)
        probes = np.ascontiguousarray(probes, np.float32)
        tune(len(probes))
        chosen = None
        if among is not None:
            passes = np.zeros(count, bool)
            passes[among] = True
            bits = np.packbits(passes, bitorder="little")
            chosen = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        elif len(probes) == 1 and count * self._vectors.size >= _MANY and cpu_count() > 1:
            return self._by_threads(probes, wide)
        return self._nearest(probes, 0, count, wide, chosen)

    def _nearest(
        self, probes: NDArray[np.float32], start: int, stop: int, wide: int, chosen: Any = None
    ) -> NDArray[np.int64]:
        found = np.empty((len(probes), wide), np.int64)
        scores = np.empty(found.shape, np.float32)
        gallery = self._vectors.array[start:stop]
        arrays = [faiss.swig_ptr(array) for array in (probes, gallery)]
        given = [faiss.swig_ptr(array) for array in (scores, found)]
        _KNN(*arrays, self._vectors.size, len(probes), len(gallery), wide, *given, chosen)
        return np.where(found < 0, found, found + start)

    def _by_threads(self, probes: NDArray[np.float32], wide: int) -> NDArray[np.int64]:
        """FAISS gives each probe one thread: of a single one each core searches a part of the gallery."""
        cuts = np.linspace(0, len(self._vectors), cpu_count() + 1).astype(int).tolist()
        with ThreadPoolExecutor(len(cuts) - 1) as pool:
            parts = pool.map(lambda at: self._nearest(probes, cuts[at], cuts[at + 1], wide), range(len(cuts) - 1))
            return np.concatenate(list(parts), 1)


def tune(probes: int) -> None:
    """Let FAISS use this process's cores, and BLAS for more than two probes.

    By default it goes through the gallery for each of 20 probes (or, in later versions, of 128,000 numbers of probes),
    5 to 7 times as slow as BLAS; for one or two, BLAS is the slower way.
    """
    faiss.omp_set_num_threads(cpu_count())
    faiss.cvar.distance_compute_blas_threshold = 1 << 30 if probes <= _FEW else 1


FLAT = Flat
