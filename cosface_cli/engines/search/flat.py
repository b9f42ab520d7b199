"""Exact search with FAISS's inner products, directly on the file of the vectors."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.vector_file import VectorFile
from cosface_cli.engines.runtime.cpu import cpu_count
from cosface_cli.engines.search import RECALL, PreparedSearch, Search
from cosface_cli.engines.search.near import nearest

# Equal vectors can come back in any order, and the last bits of a cosine depend on the batch. So SPARE more rows than
# asked for are proposed, and scored again in double precision. Where all of these are within CLOSE, more are searched.
SPARE = 16
CLOSE = 1e-5  # a difference of cosines whose sign may depend on the batch
_BLOCK = 1 << 22  # numbers of a gallery compared at a time
_KNN: Any = faiss.knn_inner_product  # its type stub lacks the selector
_FEW = 2
_MANY = 1 << 22  # with more numbers in the gallery, one probe is searched by several threads


class Flat(Search):
    """See Search. It searches the file of the vectors itself, so build does nothing."""

    def build(self, vectors: VectorFile, part: Path, uri: str | None = None, recall: float = RECALL) -> PreparedSearch:
        return PreparedSearch()

    def open(
        self,
        vectors: VectorFile,
        lists: str | None = None,
        uri: str | None = None,
        settings: Mapping[str, object] | None = None,
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
        if len(probes) == 1 and among is None and count * self._vectors.size >= _MANY and cpu_count() > 1:
            ids, scores = self._by_threads(probes, wide)
        else:
            ids, scores = self._nearest(probes, 0, count, wide, chosen)
        if wide == k + SPARE:
            last = np.partition(scores, -k, axis=1)[:, -k, None]  # (M, 1), of the k nearest
            for row in np.flatnonzero((scores[:, wide - 1 :: wide] >= last - CLOSE).any(axis=1)):
                ids[row, :k], ids[row, k:] = self._among_equals(probes[row], last[row] - 2 * CLOSE, k, among), -1
        return ids

    def _nearest(
        self, probes: NDArray[np.float32], start: int, stop: int, wide: int, chosen: Any = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids and cosines (M, wide), best first."""
        ids = np.empty((len(probes), wide), np.int64)
        scores = np.empty(ids.shape, np.float32)
        gallery = self._vectors.array[start:stop]
        inputs = [faiss.swig_ptr(array) for array in (probes, gallery)]
        outputs = [faiss.swig_ptr(array) for array in (scores, ids)]
        _KNN(*inputs, self._vectors.size, len(probes), len(gallery), wide, *outputs, chosen)
        return np.where(ids < 0, ids, ids + start), scores

    def _by_threads(self, probes: NDArray[np.float32], wide: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The same for one probe: FAISS uses one thread per probe, so each core searches a part of the gallery. Ids and
        cosines (1, wide * parts)."""
        cuts = np.linspace(0, len(self._vectors), cpu_count() + 1).astype(int).tolist()
        with ThreadPoolExecutor(len(cuts) - 1) as pool:
            parts = pool.map(lambda at: self._nearest(probes, cuts[at], cuts[at + 1], wide), range(len(cuts) - 1))
            ids, scores = zip(*parts, strict=True)
            return np.concatenate(ids, 1), np.concatenate(scores, 1)

    def _among_equals(
        self, probe: NDArray[np.float32], least: NDArray[np.float32], k: int, among: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """The k nearest (k,) of a probe (D,) among all vectors whose cosine is at least `least`, for a probe that has
        more equally near vectors than were proposed."""
        rows = np.arange(len(self._vectors)) if among is None else among
        step = max(1, _BLOCK // self._vectors.size)
        near = []
        for low in range(0, len(rows), step):
            part = rows[low : low + step]
            near.append(part[self._vectors.array[part] @ probe >= least])
        _, ids = nearest(self._vectors, probe[None], np.concatenate(near)[None], k)
        nearest_ids: NDArray[np.int64] = ids[0]
        return nearest_ids


def tune(probes: int) -> None:
    """Let FAISS use the cores of this process, and BLAS for more than two probes.

    By default it scans the gallery once for each probe up to 20 probes (in later versions, up to 128,000 numbers of
    probes), which is 5 to 7 times as slow as BLAS. For one or two probes BLAS is slower.
    """
    faiss.omp_set_num_threads(cpu_count())
    faiss.cvar.distance_compute_blas_threshold = 1 << 30 if probes <= _FEW else 1


FLAT = Flat()
