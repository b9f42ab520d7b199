"""Writing the segments of an index: segments whose rows change are written again, the others stay.

Added rows are joined with the last segments while such a segment has at most twice as many rows. So the cost of adding
is proportional to the number of added rows, segments stay few, and each row is rewritten only a few times while an
index grows.
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
from cosface_cli.artifacts.index.index_folder import (
    FileSum,
    IndexHeader,
    Segment,
    add_file,
    publish_index_json,
    read_header,
)
from cosface_cli.artifacts.index.index_rows import IndexRows, RowsWriter
from cosface_cli.artifacts.index.vector_file import VectorFile, VectorWriter
from cosface_cli.artifacts.store.face_rows import Columns
from cosface_cli.engines.search import SEARCHERS, PreparedSearch, search_row, sweep_server
from cosface_cli.errors import CosfaceError
from cosface_cli.index.build.search_choice import SearchChoice
from cosface_cli.outcomes import Note, OnOutcome, ignore

BLOCK = 8192  # rows copied at a time


@dataclass(frozen=True, slots=True, eq=False)
class RowBlock:
    """A block of n rows that is copied from a store or an index to a segment."""

    columns: Columns
    keys: NDArray[np.bytes_]
    """(n,), see Columns.keys."""
    vectors: NDArray[np.float32]
    """(n, D), of unit length."""
    ids: NDArray[np.int64] | None = None
    """(n,), ascending; None for rows that have not been in an index yet."""

    def where(self, mask: NDArray[np.bool_]) -> RowBlock:
        """The rows where mask (n,) is true."""
        ids = None if self.ids is None else self.ids[mask]
        return RowBlock(self.columns.select(mask), self.keys[mask], self.vectors[mask], ids)


def read_blocks(
    root: Path, header: IndexHeader, segment: Segment, mask: NDArray[np.bool_] | None = None
) -> Iterator[RowBlock]:
    """The rows of a segment, block by block; only those where mask (N,) is true."""
    rows = IndexRows(root / segment.names, segment.rows)
    vectors = VectorFile(root / segment.vectors, header.size, segment.rows)
    for low in range(0, segment.rows, BLOCK):
        high = min(low + BLOCK, segment.rows)
        part = slice(low, high)
        block = RowBlock(rows.columns(low, high), rows.keys[part], vectors.block(low, high), rows.ids[part])
        yield block if mask is None else block.where(mask[part])


class SegmentWriter:
    """Writes the segments of a new state of an index, one after the other. Ids of new rows count up from next_id."""

    def __init__(self, root: Path, size: int, choice: SearchChoice, next_id: int = 0, emit: OnOutcome = ignore) -> None:
        self.root, self.size, self.choice, self.emit = root, size, choice, emit
        self.next_id = next_id
        self.segments: list[Segment] = []
        self.files: dict[str, FileSum] = {}

    def keep(self, segment: Segment, header: IndexHeader) -> None:
        """Reuse a segment of the old index without rewriting it."""
        self.segments.append(segment)
        self.files |= {name: header.files[name] for name in segment.files}

    def write(self, blocks: Iterable[RowBlock], like: Segment | None = None) -> None:
        """Write a segment of these rows, if there are any. like: the segment with the same search engine."""
        with _TemporaryFiles(self.root) as temporary:
            with (
                VectorWriter(temporary.vectors, self.size) as vectors,
                RowsWriter(temporary.growing_rows, temporary.rows) as rows,
            ):
                for block in blocks:
                    ids = block.ids
                    if ids is None:
                        ids = np.arange(self.next_id, self.next_id + len(block.keys), dtype=np.int64)
                        self.next_id += len(ids)
                    vectors.add(block.vectors)
                    rows.add(block.columns, ids, block.keys)
            if vectors.count:
                self._finish(temporary, vectors.count, self.choice if like is None else self.choice.as_in(like))

    def header(self, like: IndexHeader) -> IndexHeader:
        """The header of the new state. like: a header with the same model and stores."""
        count = sum(segment.rows for segment in self.segments)
        return replace(like, rows=count, next_id=self.next_id, segments=tuple(self.segments), files=self.files)

    def _finish(self, temporary: _TemporaryFiles, count: int, choice: SearchChoice) -> None:
        """Build the search of a written segment, and give its files their final names."""
        search = choice.for_rows(count)
        engine = SEARCHERS.load(search)
        if search_row(search).approximate and not search_row(search).needs_uri:
            self.emit(Note(f"{count} rows are too many for exact search: building approximate search ({search})"))
        vectors = VectorFile(temporary.vectors, self.size, count)
        built = engine.build(vectors, temporary.lists, choice.uri, choice.recall)
        vectors_name = self._add_file(temporary.vectors, "vectors.{}.npy")
        rows_name = self._add_file(temporary.rows, "rows.{}.h5")
        lists = built.collection if built.file is None else self._add_file(built.file, "lists.{}.faiss")
        self.segments.append(
            Segment(
                rows=count,
                vectors=vectors_name,
                names=rows_name,
                search=search,
                lists=lists,
                settings=dict(built.settings),
            )
        )
        if "recall" in built.settings:
            self.emit(Note(_recall_sentence(count, search, built)))

    def _add_file(self, path: Path, pattern: str) -> str:
        name, self.files[name] = add_file(self.root, path, pattern)
        return name


class _TemporaryFiles:
    """The files of a segment while it is written. At the end they are removed, except those with their final names."""

    def __init__(self, root: Path) -> None:
        self.vectors, self.growing_rows, self.rows, self.lists = (
            atomic.partial(root / name) for name in ("vectors", "rows", "packed", "lists")
        )

    def __enter__(self) -> _TemporaryFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for path in (self.vectors, self.growing_rows, self.rows, self.lists):
            path.unlink(missing_ok=True)


def write_changes(
    writer: SegmentWriter,
    header: IndexHeader,
    masks: Sequence[NDArray[np.bool_]] = (),
    new_rows: Callable[[], Iterator[RowBlock]] = lambda: iter(()),
    count: int = 0,
) -> None:
    """Write the segments of a changed index: the rows of each old segment where its mask (N,) is true, then `count` new
    rows."""
    remaining = [int(mask.sum()) for mask in masks]
    first_joined = len(remaining)
    while first_joined and count and remaining[first_joined - 1] <= 2 * count:
        first_joined -= 1
        count += remaining[first_joined]
    for segment, mask, rows in zip(header.segments[:first_joined], masks, remaining, strict=False):
        if rows == segment.rows:
            writer.keep(segment, header)
        elif rows:
            writer.write(read_blocks(writer.root, header, segment, mask), segment)

    def joined() -> Iterator[RowBlock]:
        for segment, mask in zip(header.segments[first_joined:], masks[first_joined:], strict=True):
            yield from read_blocks(writer.root, header, segment, mask)
        yield from new_rows()

    if count:
        writer.write(joined())


def publish_segments(root: Path, new: IndexHeader) -> None:
    """Publish an index by its header, and remove files and server collections that only the old index needed."""
    servers = {(new.engine, new.uri)}
    with suppress(CosfaceError):  # no old index, or a damaged one
        old = read_header(root)
        servers.add((old.engine, old.uri))
    publish_index_json(root, new)
    for product, uri in servers:
        if uri is not None:
            is_used = (product, uri) == (new.engine, new.uri)
            needed = [segment.lists for segment in new.segments if segment.lists is not None] if is_used else []
            sweep_server(root, product, uri, needed)


def _recall_sentence(count: int, search: str, built: PreparedSearch) -> str:
    settings = built.settings
    lists = ""
    if "lists" in settings:
        lists = f" in {settings['lists']} inverted lists, of which {settings['nprobe']} are searched"
    sentence = f"{count} rows{lists} ({search}): finds"
    sentence += f" the nearest other photo of {settings['recall_of']} rows in {settings['recall']:.1%}"
    if settings["recall"] < settings["recall_wanted"]:
        sentence += f", less than the {settings['recall_wanted']:.0%} of --recall; --search flat is exact"
    return sentence
