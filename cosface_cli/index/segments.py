"""Writing an index: segments that change are written anew, the others stay; small ones at the end are joined.

A segment at the end joins what is written behind it while it has at most twice as many rows, so that adding costs what
is added, with few segments: each row is written again but a few times while an index grows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.index_folder import FileSum, IndexHeader, Segment, keep, read_header, settle
from cosface_cli.artifacts.index.index_rows import IndexRows, RowsFile
from cosface_cli.artifacts.index.vector_file import VectorFile, VectorWriter
from cosface_cli.artifacts.store.face_rows import Columns
from cosface_cli.engines.search import RECALL, SEARCHERS, Built, Search, by_count
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome, ignore
from cosface_cli.registry import one_of

BLOCK = 8192  # rows copied at a time
_FEW = 1000  # rows below which nothing but exact search is of use


@dataclass(frozen=True, slots=True)
class How:
    """How segments are to be searched. search: a row of SEARCHERS, or auto for by_count; uri: of a Milvus server;
    recall: see RECALL."""

    search: str = "auto"
    uri: str | None = None
    recall: float = RECALL

    @staticmethod
    def asked(search: str, recall: float) -> How:
        """By an engine embedded here. Raises CosfaceError for what none of them does."""
        one_of(search, ("auto", "flat", "sq8", "pq"), "--search")
        if not 0 < recall <= 1:
            raise CosfaceError(f"--recall {recall:g} is no share", hint="give a number above 0, up to 1")
        if search == "flat" and recall != RECALL:
            raise CosfaceError("--search flat finds all: --recall changes nothing", hint="leave one of them out")
        return How(search, None, recall)

    def of(self, rows: int) -> str:
        """The row of SEARCHERS for a segment of so many rows."""
        if self.search == "auto":
            return by_count(rows)
        return "flat" if rows < _FEW and self.search in ("sq8", "pq") else self.search

    def like(self, segment: Segment) -> How:
        """As a segment is searched."""
        return replace(self, search=segment.search, recall=segment.settings.get("recall_wanted", self.recall))


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Some rows on their way: what is known of them, their keys, vectors (n, D), and ids where they have some."""

    columns: Columns
    keys: NDArray[np.bytes_]
    vectors: NDArray[np.float32]
    ids: NDArray[np.int64] | None = None

    def kept(self, mask: NDArray[np.bool_]) -> Block:
        """The rows where mask (n,) is true."""
        ids = None if self.ids is None else self.ids[mask]
        return Block(self.columns.kept(mask), self.keys[mask], self.vectors[mask], ids)


def blocks(root: Path, header: IndexHeader, segment: Segment, mask: NDArray[np.bool_] | None = None) -> Iterator[Block]:
    """The rows of a segment; mask (N,): which of them."""
    rows = IndexRows(root / segment.names, segment.rows)
    vectors = VectorFile(root / segment.vectors, header.size, segment.rows)
    for low in range(0, segment.rows, BLOCK):
        high = min(low + BLOCK, segment.rows)
        part = slice(low, high)
        block = Block(rows.columns(low, high), rows.keys[part], vectors.between(low, high), rows.ids[part])
        yield block if mask is None else block.kept(mask[part])


class Writer:
    """Writes segments of a new state of an index, one after the other; ids go on from next_id."""

    def __init__(self, root: Path, size: int, how: How, next_id: int = 0, emit: OnOutcome = ignore) -> None:
        self.root, self.size, self.how, self.emit = root, size, how, emit
        self.next_id = next_id
        self.segments: list[Segment] = []
        self.files: dict[str, FileSum] = {}

    def carry(self, segment: Segment, header: IndexHeader) -> None:
        """Take over a segment as it is."""
        self.segments.append(segment)
        self.files |= {name: header.files[name] for name in segment.files}

    def write(self, rows: Iterable[Block], like: Segment | None = None) -> None:
        """Write a segment of these rows, none where there are none; searched as another one, where that is given."""
        parts = _Parts(self.root)
        with parts:
            with VectorWriter(parts.vectors, self.size) as vectors, RowsFile(parts.loose, parts.rows) as names:
                for block in rows:
                    ids = block.ids
                    if ids is None:
                        ids = np.arange(self.next_id, self.next_id + len(block.keys), dtype=np.int64)
                        self.next_id += len(ids)
                    vectors.add(block.vectors)
                    names.add(block.columns, ids, block.keys)
            if vectors.count:
                self._keep(parts, vectors.count, self.how if like is None else self.how.like(like))

    def header(self, like: IndexHeader) -> IndexHeader:
        """The header of what was written."""
        count = sum(segment.rows for segment in self.segments)
        return replace(like, rows=count, next_id=self.next_id, segments=tuple(self.segments), files=self.files)

    def _keep(self, parts: _Parts, count: int, how: How) -> None:
        search = how.of(count)
        engine: Search = SEARCHERS.load(search)
        if search in ("sq8", "pq"):
            self.emit(Note(f"{count} rows are too many to look at each: inverted lists ({search}) are being made"))
        vectors = VectorFile(parts.vectors, self.size, count)
        built = engine.build(vectors, parts.lists, how.uri, how.recall)
        vectors_name, rows_name = self._named(parts.vectors, "vectors.{}.npy"), self._named(parts.rows, "rows.{}.h5")
        lists = built.collection if built.file is None else self._named(built.file, "lists.{}.faiss")
        self.segments.append(Segment(count, vectors_name, rows_name, search, lists, dict(built.settings)))
        if "recall" in built.settings:
            self.emit(Note(_measured(count, search, built)))

    def _named(self, path: Path, stem: str) -> str:
        name, held = keep(self.root, path, stem)
        self.files[name] = held
        return name


class _Parts:
    """The passing names of the files of a segment; what is left of them is taken away at the end."""

    def __init__(self, root: Path) -> None:
        self.vectors, self.loose, self.rows, self.lists = (
            atomic.partial(root / name) for name in ("vectors", "rows", "packed", "lists")
        )

    def __enter__(self) -> _Parts:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for path in (self.vectors, self.loose, self.rows, self.lists):
            path.unlink(missing_ok=True)


def changed(
    writer: Writer,
    header: IndexHeader,
    masks: Sequence[NDArray[np.bool_]],
    new: Callable[[], Iterator[Block]],
    count: int,
) -> None:
    """Write what an index becomes: of each segment the rows of its mask (N,), and behind them `count` new rows."""
    held = [int(mask.sum()) for mask in masks]
    joined = len(held)
    while joined and count and held[joined - 1] <= 2 * count:
        joined -= 1
        count += held[joined]
    for segment, mask, rows in zip(header.segments[:joined], masks, held, strict=False):
        if rows == segment.rows:
            writer.carry(segment, header)
        elif rows:
            writer.write(blocks(writer.root, header, segment, mask), segment)

    def last() -> Iterator[Block]:
        for segment, mask in zip(header.segments[joined:], masks[joined:], strict=True):
            yield from blocks(writer.root, header, segment, mask)
        yield from new()

    if count:
        writer.write(last())


def settled(root: Path, new: IndexHeader) -> None:
    """Make a header the index, and take away what only the old one needed, also from a server."""
    uris = {new.uri}
    with suppress(CosfaceError):  # there is none yet, or a damaged one
        uris.add(read_header(root).uri)
    settle(root, new)
    for uri in sorted(filter(None, uris)):
        named = [segment.lists for segment in new.segments if segment.lists is not None and new.uri == uri]
        SEARCHERS.load("milvus").sweep(root, uri, named)


def _measured(count: int, search: str, built: Built) -> str:
    of = built.settings
    lists = f" in {of['lists']} inverted lists, {of['nprobe']} of them looked through" if "lists" in of else ""
    words = f"{count} rows{lists} ({search}): finds"
    words += f" the nearest other photo of {of['recall_of']} rows in {of['recall']:.1%}"
    short = of["recall"] < of["recall_wanted"]
    return words + (f", less than the {of['recall_wanted']:.0%} wanted; --search flat is exact" if short else "")
