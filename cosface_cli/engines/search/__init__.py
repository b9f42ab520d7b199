"""Search engines: a file of unit vectors in, the nearest of them out. A new one is a file here and a row in SEARCHERS.

An engine proposes; the cosines and the order that people see are computed from the vectors themselves (near.py), in
double precision, and so they are the same whatever the engine and the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cosface_cli.artifacts.index.vector_file import VectorFile

RECALL = 0.95  # how often the true nearest must be among what an approximate engine proposes


@dataclass(frozen=True, slots=True)
class Built:
    """What building left. file: to be kept in the index folder; collection: on a server; settings: how it searches
    (nprobe) and what was measured (recall)."""

    file: Path | None = None
    collection: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Searcher(Protocol):
    """A gallery of N unit vectors, ids 0..N - 1 in the order of its file."""

    def propose(self, probes: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Ids (M, K >= k where there are so many) among which are the k nearest of each probe (M, D), best effort for
        an approximate engine; -1 for none."""
        ...


class Search(Protocol):
    """What a row of SEARCHERS points to."""

    def build(self, vectors: VectorFile, part: Path, uri: str | None, recall: float) -> Built:
        """Prepare the search. part: a file that may be written; uri: a server; recall: see RECALL."""
        ...

    def open(self, vectors: VectorFile, lists: str | None, uri: str | None, settings: Mapping[str, Any]) -> Searcher:
        """Open it again. lists: the file kept, or the collection. Raises CosfaceError for a damaged file."""
        ...


SEARCHERS: Table[Search] = Table(
    "search engine",
    Row("flat", "cosface_cli.engines.search.flat:FLAT", "exact, FAISS's flat inner product"),
    Row("sq8", "cosface_cli.engines.search.ivf:SQ8", "FAISS's inverted lists, 8 bits a number"),
    Row("pq", "cosface_cli.engines.search.ivf:PQ", "FAISS's inverted lists, product quantizer, a bit a number"),
    Row("milvus", "cosface_cli.engines.search.milvus:MILVUS", "collections of a Milvus server", "milvus"),
)

FLAT_BELOW, SQ8_BELOW = 200_000, 5_000_000


def by_count(rows: int) -> str:
    """The embedded engine for so many rows: exact, then inverted lists with 8 bits a number, then with one bit."""
    return "flat" if rows < FLAT_BELOW else "sq8" if rows < SQ8_BELOW else "pq"
