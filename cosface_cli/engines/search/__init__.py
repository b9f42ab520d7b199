"""Search engines: a file of unit vectors in, the nearest of them out. A new one is a file here and a row in SEARCHERS.

An engine proposes rows. Their cosines and their order are computed from the vectors themselves (near.py), in double
precision, so they are the same for every engine and every batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cosface_cli.artifacts.index.vector_file import VectorFile

RECALL = 0.95  # share of probes for which an approximate engine must propose the true nearest row


@dataclass(frozen=True, slots=True)
class PreparedSearch:
    """What an engine needs to search again later."""

    file: Path | None = None
    """A file to keep in the index folder."""
    collection: str | None = None
    """A collection on a server."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How it searches (such as nprobe) and what was measured (recall)."""


class Searcher(Protocol):
    """A gallery of N unit vectors, with ids 0..N - 1 in the order of its file, ready to be searched."""

    def propose(self, probes: NDArray[np.float32], k: int) -> NDArray[np.int64]:
        """Ids (M, K) that contain the k nearest of each probe (M, D); K >= k where there are so many rows.

        An approximate engine may miss some. -1 stands for no id.
        """
        ...


class Search(Protocol):
    """A search engine: what a row of SEARCHERS points to."""

    def build(self, vectors: VectorFile, part: Path, uri: str | None, recall: float) -> PreparedSearch:
        """Prepare the search. part: a file that may be written; uri: the server; recall: see RECALL."""
        ...

    def open(self, vectors: VectorFile, lists: str | None, uri: str | None, settings: Mapping[str, Any]) -> Searcher:
        """Open it again. lists: file or collection of the PreparedSearch. Raises CosfaceError for a damaged file."""
        ...

    def sweep(self, folder: Path, uri: str, named: Iterable[str]) -> None:
        """Delete what this index folder left on the server, except the collections named. Does nothing by default."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRow(Row):
    """A search engine with what is known of it before it is loaded."""

    product: str
    """What it belongs to: what --engine takes and index.json records."""
    approximate: bool = False
    """Whether it may miss the nearest row, so that its recall is measured and --recall applies."""
    needs_uri: bool = False
    """Whether it keeps collections on a server, which --uri names."""
    at_least: int = 0
    """Segments with fewer rows are searched as `auto` would search them."""
    auto_below: float = math.inf
    """`auto` takes the first engine of a product whose auto_below is above the number of rows."""


SEARCHERS: Table[Search] = Table(
    "search engine",
    SearchRow(
        "flat",
        "cosface_cli.engines.search.flat:FLAT",
        "exact, FAISS's flat inner product",
        product="faiss",
        auto_below=200_000,
    ),
    SearchRow(
        "sq8",
        "cosface_cli.engines.search.ivf:SQ8",
        "FAISS's inverted lists, 8 bits per number",
        product="faiss",
        approximate=True,
        at_least=1000,
        auto_below=5_000_000,
    ),
    SearchRow(
        "pq",
        "cosface_cli.engines.search.ivf:PQ",
        "FAISS's inverted lists, product quantizer, 1 bit per number",
        product="faiss",
        approximate=True,
        at_least=1000,
    ),
    SearchRow(
        "milvus",
        "cosface_cli.engines.search.milvus:MILVUS",
        "collections on a Milvus server",
        "milvus",
        product="milvus",
        approximate=True,
        needs_uri=True,
    ),
)
AUTO = "auto"  # for --search: the engine depends on the number of rows


def search_row(name: str) -> SearchRow:
    """What is known of an engine. Raises CosfaceError for an unknown name."""
    row = SEARCHERS.row(name)
    assert isinstance(row, SearchRow)
    return row


def rows_of(product: str) -> tuple[SearchRow, ...]:
    """The engines of a product, in the order of the table."""
    return tuple(row for row in map(search_row, SEARCHERS.names) if row.product == product)


def products() -> tuple[str, ...]:
    """What --engine takes; the first is the default."""
    return tuple(dict.fromkeys(search_row(name).product for name in SEARCHERS.names))


def engine_for(rows: int, product: str, search: str = AUTO) -> str:
    """The engine for a segment with this many rows: the one named, or by the number of rows where that is `auto` or
    where the rows are too few for the one named."""
    if search != AUTO and rows >= search_row(search).at_least:
        return search
    return next(row.name for row in rows_of(product) if rows < row.auto_below)


def sweep_server(folder: Path, product: str, uri: str, named: Iterable[str]) -> None:
    """Delete the collections that an index folder left on a product's server, except those named."""
    for row in rows_of(product):
        if row.needs_uri:
            SEARCHERS.load(row.name).sweep(folder, uri, named)
