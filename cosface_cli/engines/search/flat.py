"""Exact search by FAISS's inner products, over the vectors where they lie."""

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
from cosface_cli.engines.search import RECALL, Built, Search
from cosface_cli.engines.search.near import nearest

# Equal vectors can come back in any order, and the last bits of a cosine depend on the batch: so many more than asked
# for are proposed, to be scored again in double precision. Where they are all as near as CLOSE, more are looked for.
SPARE = 16
CLOSE = 1e-5  # a difference of cosines that the batch could turn round
_BLOCK = 1 << 22  # numbers of a gallery that are compared at a time
_KNN: Any = faiss.knn_inner_product  # its stub knows no selector
_FEW = 2
_MANY = 1 << 22  # numbers of a gallery from which on one probe is worth several threads


class Flat(Search):
    """See Search. It searches the file of the vectors itself, so build does nothing."""

    def build(self, vectors: VectorFile, part: Path, uri: str | None = None, recall: float = RECALL) -> Built:
        return Built()

    def open(
        self,
        vectors: VectorFile,
        lists: str | None = None,
        uri: str | None = None,
        settings: Mapping[str, Any] | None = None,
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
            found, scores = self._by_threads(probes, wide)
        else:
            found, scores = self._nearest(probes, 0, count, wide, chosen)
        if wide == k + SPARE:
            last = np.partition(scores, -k, axis=1)[:, -k, None]  # (M, 1), of the k nearest
            for row in np.flatnonzero((scores[:, wide - 1 :: wide] >= last - CLOSE).any(axis=1)):
                found[row, :k], found[row, k:] = self._among_equals(probes[row], last[row] - 2 * CLOSE, k, among), -1
        return found

    def _nearest(
        self, probes: NDArray[np.float32], start: int, stop: int, wide: int, chosen: Any = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Ids and cosines (M, wide), best first."""
        found = np.empty((len(probes), wide), np.int64)
        scores = np.empty(found.shape, np.float32)
        gallery = self._vectors.array[start:stop]
        arrays = [faiss.swig_ptr(array) for array in (probes, gallery)]
        given = [faiss.swig_ptr(array) for array in (scores, found)]
        _KNN(*arrays, self._vectors.size, len(probes), len(gallery), wide, *given, chosen)
        return np.where(found < 0, found, found + start), scores

    def _by_threads(self, probes: NDArray[np.float32], wide: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """FAISS gives each probe one thread: of a single one each core searches a part of the gallery. Ids and cosines
        (1, wide of each part)."""
        cuts = np.linspace(0, len(self._vectors), cpu_count() + 1).astype(int).tolist()
        with ThreadPoolExecutor(len(cuts) - 1) as pool:
            parts = pool.map(lambda at: self._nearest(probes, cuts[at], cuts[at + 1], wide), range(len(cuts) - 1))
            found, scores = zip(*parts, strict=True)
            return np.concatenate(found, 1), np.concatenate(scores, 1)

    def _among_equals(
        self, probe: NDArray[np.float32], least: NDArray[np.float32], k: int, among: NDArray[np.int64] | None
    ) -> NDArray[np.int64]:
        """The k nearest (k,) of a probe (D,) to which more vectors are equally near than were proposed: of all whose
        cosine is `least` or more."""
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
    """Let FAISS use this process's cores, and BLAS for more than two probes.

    By default it goes through the gallery for each of 20 probes (or, in later versions, of 128,000 numbers of probes),
    5 to 7 times as slow as BLAS; for one or two, BLAS is the slower way.
    """
    faiss.omp_set_num_threads(cpu_count())
    faiss.cvar.distance_compute_blas_threshold = 1 << 30 if probes <= _FEW else 1


FLAT = Flat()
