"""Exact search by FAISS's flat inner product, over the vectors where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.vector_file import MEND, VectorFile
from cosface_cli.engines.runners.local import cpu_count
from cosface_cli.engines.search import RECALL, Built
from cosface_cli.errors import DamagedError

# Equal vectors can come back in any order, and the last bits of a cosine depend on the batch: so many more than asked
# for are proposed, to be scored again in double precision.
SPARE = 16


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
        try:
            self._index = faiss.read_index(str(vectors.path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise DamagedError("FAISS cannot read it", vectors.path, MEND) from error
        threads()

    def propose(self, probes: NDArray[np.float32], k: int, among: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """See Searcher.propose. among: only these ids."""
        held = int(self._index.ntotal) if among is None else len(among)
        wide = min(k + SPARE, held)
        if not wide or not len(probes):
            return np.zeros((len(probes), 0), np.int64)
        params: Any = None
        if among is not None:
            chosen = np.zeros(int(self._index.ntotal), bool)
            chosen[among] = True
            bits = np.packbits(chosen, bitorder="little")
            params = faiss.SearchParameters()
            params.sel = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        _, found = self._index.search(np.ascontiguousarray(probes, np.float32), wide, params=params)
        return np.asarray(found, np.int64)


def threads() -> None:
    """Let FAISS use this process's cores, and BLAS from the first probe: below its default of 20 it is 5 to 7 times
    slower."""
    faiss.omp_set_num_threads(cpu_count())
    faiss.cvar.distance_compute_blas_threshold = 1


FLAT = Flat
