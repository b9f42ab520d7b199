"""Several indexes of one model to one, each row once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.forgotten import join_receipts
from cosface_cli.artifacts.index.index_folder import MAIN, IndexHeader, read_header, settle
from cosface_cli.artifacts.index.index_rows import IndexRows
from cosface_cli.artifacts.index.people_file import join
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.index import BuildReport
from cosface_cli.index.build import report
from cosface_cli.index.forget.plan import require_forgotten
from cosface_cli.index.keys import admitted
from cosface_cli.index.segments import Block, How, Writer, blocks, changed
from cosface_cli.index.upkeep import MergeConfig
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, ignore


def merge(config: MergeConfig, emit: OnOutcome = ignore) -> BuildReport:
    """Write the rows of all indexes to config.out, in their order; what one of them forgot is left out of all.

    A row that stands in several (same file, face and content) is taken from the first. Names come along. Raises
    ModelMismatch for indexes of different models, CosfaceError where config.out is there already.
    """
    how = How.asked(config.search, config.recall)
    headers = [read_header(root) for root in config.indexes]
    first = headers[0]
    for root, header in zip(config.indexes, headers, strict=True):
        require_forgotten(root)
        _require_alike(header, first, str(root), str(config.indexes[0]))
    if (config.out / MAIN).exists():
        raise CosfaceError("there is an index already", config.out, "give a new folder")
    atomic.make_folder(config.out)
    with ExitStack() as held:
        for root in dict.fromkeys(path.resolve() for path in (*config.indexes, config.out)):
            held.enter_context(atomic.lock(root / MAIN))
        held.enter_context(atomic.write_errors(config.out))
        join_receipts(config.indexes, config.out)
        keys = [
            np.array(IndexRows(root / segment.names, segment.rows).keys)
            for root, header in zip(config.indexes, headers, strict=True)
            for segment in header.segments
        ]
        every = np.concatenate([np.zeros(0, "S24"), *keys])
        wanted, doubles, forgotten = admitted(every, config.out)
        emit(Planned(int(wanted.sum())))

        def rows() -> Iterator[Block]:
            at = 0
            for root, header in zip(config.indexes, headers, strict=True):
                for segment in header.segments:
                    for block in blocks(root, header, segment, wanted[at : at + segment.rows]):
                        if len(block.keys):
                            yield replace(block, ids=None)
                            emit(Done(str(root), count=len(block.keys)))
                    at += segment.rows

        writer = Writer(config.out, first.size, how, 0, emit)
        changed(writer, replace(first, segments=()), [], rows, int(wanted.sum()))
        stores = dict.fromkeys(store for header in headers for store in header.stores)
        out = replace(first, engine="faiss", uri=None, stores=tuple(stores))
        for words in join(config.indexes, config.out):
            emit(Note(words))
        settle(config.out, writer.header(out))
    return report(config.out, read_header(config.out), int(wanted.sum()), 0, doubles, forgotten)


def _require_alike(header: IndexHeader, first: IndexHeader, path: str, other: str) -> None:
    for what in ("model_id", "template", "flip", "size", "mapped"):
        have, want = getattr(header, what), getattr(first, what)
        if have != want:
            raise ModelMismatch(f"its {what} is {have}, that of {other} is {want}", path, "merge indexes of one model")
