"""Approximate search by FAISS's inverted lists of compressed vectors; nprobe, the number of lists searched, is tuned.

The lists are in a file of FAISS's own format. FAISS trusts any length that a file declares, so the layout is checked
before FAISS maps it into memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.vector_file import REBUILD_HINT, VectorFile
from cosface_cli.engines.search import RECALL, PreparedSearch, Search
from cosface_cli.engines.search.flat import CLOSE, SPARE, tune
from cosface_cli.engines.search.lists_file import require_lists
from cosface_cli.engines.search.recall import Sample
from cosface_cli.errors import DamagedError

_TRAINED_ON = 1 << 25  # numbers of the training vectors, at most: 128 MiB
_PER_LIST = 64  # training vectors per list, at most
_BLOCK = 1 << 14  # vectors added at a time
_AT_ONCE = 1 << 20  # numbers of list centres compared at a time


@dataclass(frozen=True, slots=True)
class Lists(Search):
    """See Search."""

    code: Literal["sq8", "pq"]
    """How vectors are compressed: 8 bits per number, or a product quantizer."""

    def build(self, vectors: VectorFile, part: Path, uri: str | None = None, recall: float = RECALL) -> PreparedSearch:
        """Train on evenly spaced rows, add all rows, and set nprobe to reach the recall (see recall.Sample)."""
        tune(len(vectors))
        index, count = self._trained(vectors), len(vectors)
        for low in range(0, count, _BLOCK):
            index.add(vectors.block(low, min(low + _BLOCK, count)))
            vectors.release_pages()  # the growing lists need up to twice their final memory; free that of the vectors
        with part.open("wb") as file:  # FAISS's own writer does not notice a full disk at the last bytes
            faiss.write_index(index, vars(faiss)["PyCallbackIOWriter"](file.write))
        settings = {"lists": int(index.nlist)}
        del index
        searcher = self.open(vectors, str(part), None, {**settings, "nprobe": 1})
        return PreparedSearch(file=part, settings={**settings, **searcher.tuned(vectors, recall)})

    def open(
        self, vectors: VectorFile, lists: str | None, uri: str | None, settings: Mapping[str, Any]
    ) -> ListsSearcher:
        """See Search.open."""
        path = Path(str(lists))
        try:
            count, nprobe = int(settings["lists"]), int(settings["nprobe"])
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedError("index.json does not say how it is searched", path, REBUILD_HINT) from error
        require_lists(path, self.code, vectors.size, len(vectors), count, parts(vectors.size))
        if not 1 <= nprobe <= count:
            raise DamagedError("index.json does not say how it is searched", path, REBUILD_HINT)
        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except (RuntimeError, MemoryError) as error:
            raise DamagedError("FAISS cannot read it", path, REBUILD_HINT) from error
        return ListsSearcher(index, nprobe, path)

    def _trained(self, vectors: VectorFile) -> Any:
        size, count = vectors.size, len(vectors)
        lists = list_count(count)
        coarse = faiss.IndexFlatIP(size)
        ip = faiss.METRIC_INNER_PRODUCT
        index: Any
        if self.code == "sq8":  # encodes the vectors themselves, not the residuals: scores do not depend on the list
            kind = faiss.ScalarQuantizer.QT_8bit
            index = faiss.IndexIVFScalarQuantizer(coarse, size, lists, kind, ip, False)
        else:
            index = faiss.IndexIVFPQ(coarse, size, lists, parts(size), 8, ip)
        index.cp.spherical = True
        index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, 1 << 30
        sample = max(lists, min(count, _PER_LIST * lists, _TRAINED_ON // size))
        index.train(vectors.take(np.linspace(0, count - 1, sample).astype(np.int64)))
        return index


class ListsSearcher:
    """See Searcher."""

    def __init__(self, index: Any, nprobe: int, path: Path) -> None:
        self._path = path
        self._params: Any = faiss.SearchParametersIVF()
        self.nprobe = nprobe
        self._index = index
        self._count, self._lists = int(index.ntotal), int(index.nlist)
        self._coarse = faiss.downcast_index(index.quantizer)
        self._residual = bool(index.by_residual)

    @property
    def nprobe(self) -> int:
        """How many lists are searched."""
        return int(self._params.nprobe)

    @nprobe.setter
    def nprobe(self, count: int) -> None:
        self._params.nprobe = count

    def propose(self, probes: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """See Searcher.propose. The result does not depend on the batch."""
        wide = min(k + SPARE if not self._residual else 4 * k + 64, self._count)
        if not wide or not len(probes):
            return np.zeros((len(probes), 0), np.int64)
        probes = np.ascontiguousarray(probes, np.float32)
        tune(len(probes))
        near, lists = self._nearest_lists(probes)
        ids = np.empty((len(probes), wide), np.int64)
        scores = np.empty(ids.shape, np.float32)
        arrays = [faiss.swig_ptr(array) for array in (lists, near, scores, ids)]
        self._index.search_preassigned_c(len(probes), faiss.swig_ptr(probes), wide, *arrays, False, self._params)
        if ids.size and (int(ids.max()) >= self._count or int(ids.min()) < -1):
            raise DamagedError("it contains row numbers that are out of range", self._path, REBUILD_HINT)
        return ids

    def tuned(self, vectors: VectorFile, recall: float) -> dict[str, object]:
        """Set nprobe to the smallest of 1, 2, 3, 4, 6, 8, 12, 16, ... that reaches the recall. Returns the settings."""
        sample = Sample(vectors)
        self.nprobe, reached = 1, sample.recall(self)
        while reached < recall and self.nprobe < self._lists:
            half = self.nprobe // 2 if self.nprobe & (self.nprobe - 1) == 0 else self.nprobe // 3
            self.nprobe = min(self.nprobe + max(1, half), self._lists)
            reached = sample.recall(self)
        return {"nprobe": self.nprobe, "recall": round(reached, 4), "recall_of": len(sample), "recall_wanted": recall}

    def _nearest_lists(self, probes: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Cosines and numbers (M, nprobe) of the lists to search."""
        near, lists = self._coarse.search(probes, min(self.nprobe + 1, self._lists))
        if self._residual:  # their cosines are part of the scores
            close = np.arange(len(probes))
        elif self.nprobe < self._lists:
            (close,) = (near[:, self.nprobe - 1] - near[:, self.nprobe] < CLOSE).nonzero()
        else:
            close = np.zeros(0, np.int64)
        if len(close):
            near[close], lists[close] = self._exact_nearest_lists(probes[close], near.shape[1])
        return np.ascontiguousarray(near[:, : self.nprobe]), np.ascontiguousarray(lists[:, : self.nprobe])

    def _exact_nearest_lists(
        self, probes: NDArray[np.float32], wide: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The `wide` nearest lists; those whose rank is uncertain in single precision are compared in double."""
        near, lists = self._coarse.search(probes, min(self.nprobe + SPARE, self._lists))
        certain = near > near[:, self.nprobe - 1 : self.nprobe] + CLOSE
        first = 0 if self._residual else int(certain.sum(1).min())
        doubtful = lists[:, first:]
        step = max(1, _AT_ONCE // (doubtful.shape[1] * probes.shape[1]))
        for low in range(0, len(probes), step):
            part = slice(low, low + step)
            numbers = doubtful[part]
            centres = self._coarse.reconstruct_batch(numbers.ravel()).reshape(*numbers.shape, -1).astype(np.float64)
            exact = np.einsum("mld,md->ml", centres, probes[part].astype(np.float64))
            order = np.lexsort((numbers, -exact), axis=1)
            near[part, first:] = np.take_along_axis(exact, order, 1)
            lists[part, first:] = np.take_along_axis(numbers, order, 1)
        return near[:, :wide], lists[:, :wide]


def list_count(rows: int) -> int:
    """A power of two near four times the square root."""
    return int(2 ** min(16, max(0, round(np.log2(4 * max(1, rows) ** 0.5)))))


def parts(size: int) -> int:
    """Parts, of one byte each, into which a product quantizer cuts a vector: about one bit per number."""
    return max(part for part in range(1, max(1, size // 8) + 1) if size % part == 0)


SQ8, PQ = Lists("sq8"), Lists("pq")
