"""Search engines: unit vectors in, the nearest of a gallery out. A new one is a file here and a row in SEARCHERS."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Searcher(Protocol):
    """A gallery of unit vectors, ids 0..len - 1 in the order they were added. kind: how it searches."""

    kind: str

    def __len__(self) -> int: ...

    def search(self, probes: NDArray[np.float32], k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Cosines (N, K) and ids (N, K) of the K = min(k, len) nearest of each probe (N, D), best first; equal cosines
        in the order of their ids. The same whatever the batch."""
        ...

    def vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        """The gallery's own vectors (stop - start, D), as well as the engine keeps them."""
        ...


class Search(Protocol):
    """What a row of SEARCHERS points to."""

    file: str

    def build(self, size: int, blocks: Iterable[NDArray[np.float32]], path: Path) -> None:
        """Write a gallery of unit vectors (n, size) to path."""
        ...

    def open(self, path: Path, size: int, count: int) -> Searcher:
        """Open one that holds count vectors. Raises CosfaceError for a damaged file."""
        ...


SEARCHERS = Table(
    "search engine",
    Row("flat", "cosface_cli.engines.search.faiss_flat:FaissFlat", "exact, FAISS's flat inner product"),
)
