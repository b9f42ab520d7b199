"""Exact search by FAISS's flat inner product over unit vectors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.runners.local import cpu_count
from cosface_cli.errors import CosfaceError

# Equal vectors can come back in any order, and the last bits of a cosine depend on the batch: so many more than asked
# for are fetched, scored again in double precision and sorted.
_SPARE = 16


class FaissFlat:
    """See Search: an IndexFlatIP in a file, memory-mapped when it is opened."""

    file = "index.faiss"

    @staticmethod
    def build(size: int, blocks: Iterable[NDArray[np.float32]], path: Path) -> None:
        index = faiss.IndexFlatIP(size)
        for block in blocks:
            index.add(np.ascontiguousarray(block))
        with path.open("wb") as file:  # FAISS's own writer does not notice where the last bytes find no room
            faiss.write_index(index, vars(faiss)["PyCallbackIOWriter"](file.write))

    @staticmethod
    def open(path: Path, size: int, count: int) -> FlatSearcher:
        # checked before FAISS reads it: its reader would believe any length that the file declares
        if not path.is_file() or path.stat().st_size < size * count * 4:
            raise CosfaceError("the index is missing or cut short", path, "build it again: cosface index build")
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise CosfaceError("not a FAISS index, or a damaged one", path, "build it again") from error
        if index.d != size or index.ntotal != count or index.metric_type != faiss.METRIC_INNER_PRODUCT:
            raise CosfaceError("the index and what it says of itself do not fit", path, "build it again")
        return FlatSearcher(index)


class FlatSearcher:
    """See Searcher."""

    kind = "flat"

    def __init__(self, index: faiss.Index) -> None:
        self._index = index
        faiss.omp_set_num_threads(cpu_count())
        faiss.cvar.distance_compute_blas_threshold = 1  # below its default of 20 FAISS is 5 to 7 times slower

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, probes: NDArray[np.float32], k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """See Searcher.search."""
        keep, wide = min(k, len(self)), min(k + _SPARE, len(self))
        if keep == 0 or not len(probes):
            return np.zeros((len(probes), keep)), np.zeros((len(probes), keep), np.int64)
        _, found = self._index.search(np.ascontiguousarray(probes, np.float32), wide)
        near = np.stack([self._index.reconstruct_batch(ids) for ids in found]).astype(np.float64)
        cosines = np.clip(np.einsum("nkd,nd->nk", near, probes.astype(np.float64)), -1.0, 1.0)
        order = np.lexsort((found, -cosines), axis=1)[:, :keep]
        return np.take_along_axis(cosines, order, 1), np.take_along_axis(found, order, 1)

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """See Searcher.vectors."""
        return np.asarray(self._index.reconstruct_n(start, stop - start), np.float32)
