"""Stores to an index: what is new is read and written, what is gone is left out, all of it settled in one step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.forgotten import FILE as FORGOTTEN
from cosface_cli.artifacts.index.index_folder import MAIN, IndexHeader, read_header, require_own, require_whole
from cosface_cli.artifacts.index.index_rows import IndexRows
from cosface_cli.artifacts.store.face_rows import Columns, decode
from cosface_cli.artifacts.store.store_file import Store, StoreHeader
from cosface_cli.artifacts.store.store_series import common_header, require_finished
from cosface_cli.engines.search import SEARCHERS
from cosface_cli.errors import CosfaceError, DamagedError, ModelMismatch
from cosface_cli.index import BuildConfig, BuildReport
from cosface_cli.index.forget.plan import require_forgotten
from cosface_cli.index.keys import Keys, Mask, admitted, found_in, sources_of
from cosface_cli.index.photo_times import PhotoTimes
from cosface_cli.index.segments import BLOCK, Block, How, Writer, changed, settled
from cosface_cli.maths.unit_vectors import TOLERANCE
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, Rejected, Skipped, ignore
from cosface_cli.registry import one_of


def build(config: BuildConfig, emit: OnOutcome = ignore) -> BuildReport:
    """Make the index hold the rows of the stores (with config.add: also what it holds already); the old index, if there
    is one, stands until the new one is whole.

    Only rows that are new or changed are read; a row that is not finite or not of unit length is rejected by name; one
    that stands twice (same file, face and content) is taken once. Raises ModelMismatch for stores of different models,
    or of another than the index's, CosfaceError for a store that is still being filled.
    """
    if config.add and (config.index / MAIN).is_file():
        there = read_header(config.index)
        config = replace(config, engine=there.engine, uri=there.uri)
    how = _how(config)
    stores = common_header(config.stores)
    for path in config.stores:
        require_finished(path)
    atomic.make_folder(config.index)
    require_own(config.index)
    with atomic.lock(config.index / MAIN), atomic.write_errors(config.index):
        require_forgotten(config.index)
        old = _old(config, stores, emit)
        plan = _planned(config, old)
        emit(Planned(plan.kept + int(plan.new.sum())))
        if plan.kept:
            emit(Skipped(str(config.index), plan.kept))
        writer = Writer(config.index, stores.size, how, old.next_id, emit)
        changed(writer, old, plan.masks, lambda: _read(config.stores, plan.new, emit), int(plan.new.sum()))
        header = writer.header(old if config.add else replace(old, mapped=None))  # its own vectors replace mapped ones
        paths = [str(path.absolute()) for path in config.stores]
        header = replace(header, stores=tuple(dict.fromkeys([*(old.stores if config.add else ()), *paths])))
        settled(config.index, header)
    added = header.rows - plan.kept
    if plan.doubles:
        emit(Note(f"{plan.doubles} rows stood in the stores more than once and were taken once"))
    if plan.removed:
        emit(Note(f"{plan.removed} rows of the index were taken out: the stores hold them no more, or changed"))
    if plan.forgotten:
        words = f"{plan.forgotten} rows of the stores were left out: they were forgotten once"
        emit(Note(f"{words}; {config.index / FORGOTTEN} says which, and a line less lets them in again"))
    return report(config.index, header, added, plan.removed, plan.doubles, plan.forgotten)


def report(root: Path, header: IndexHeader, added: int, removed: int, doubles: int, forgotten: int) -> BuildReport:
    """What became of an index."""
    recalls = [segment.settings["recall"] for segment in header.segments if "recall" in segment.settings]
    return BuildReport(
        str(root),
        header.rows,
        added,
        removed,
        doubles,
        forgotten,
        identity_count(root, header),
        header.engine,
        "+".join(dict.fromkeys(segment.search for segment in header.segments)),
        min(recalls, default=None),
        header.model,
    )


def identity_count(root: Path, header: IndexHeader) -> int:
    """How many people the rows of an index are of, by their folders."""
    tables = (IndexRows(root / segment.names, segment.rows).table("identity") for segment in header.segments)
    return len({name for table in tables for name in table})


def _how(config: BuildConfig) -> How:
    one_of(config.engine, ("faiss", "milvus"), "--engine")
    if (config.engine == "milvus") != (config.uri is not None):
        raise CosfaceError(
            "--engine milvus and --uri go together", hint="cosface index build --engine milvus --uri URI"
        )
    how = How.asked(config.search, config.recall)
    if config.engine == "milvus":
        if config.search != "auto":
            raise CosfaceError("--search is for --engine faiss", hint="leave it out")
        SEARCHERS.load("milvus")  # a missing package is told before any work
        return replace(how, search="milvus", uri=config.uri)
    return how


def _old(config: BuildConfig, stores: StoreHeader, emit: OnOutcome) -> IndexHeader:
    """The index that is there, or an empty one."""
    empty = IndexHeader(
        engine=config.engine,
        model=stores.model,
        model_id=stores.model_id,
        template=stores.template,
        flip=stores.flip,
        size=stores.size,
        rows=0,
        next_id=0,
        segments=(),
        files={},
        stores=(),
        uri=config.uri,
    )
    if config.fresh or not (config.index / MAIN).is_file():
        return empty
    try:
        old = read_header(config.index)
        require_whole(config.index, old)
    except DamagedError as error:
        if config.add:
            raise
        emit(Note(f"{error.path}: {error.problem}; the index is built anew"))
        return empty
    require_alike(old, stores, config.stores[0], config.index)
    if (old.engine, old.uri) != (config.engine, config.uri) or (not config.add and _other_search(config, old)):
        return replace(empty, next_id=old.next_id)
    return old


def _other_search(config: BuildConfig, old: IndexHeader) -> bool:
    """Whether segments are searched in another way, or tuned for less, than asked for."""
    how = _how(config)
    return any(
        segment.search != how.of(segment.rows) or segment.settings.get("recall_wanted", config.recall) != config.recall
        for segment in old.segments
    )


def require_alike(index: IndexHeader, stores: StoreHeader, path: Path, root: Path) -> None:
    """Raises ModelMismatch unless a store's embeddings can stand in an index."""
    if stores.model_id != index.model_id:
        raise ModelMismatch(
            f"embeddings of {stores.model} ({stores.model_id}); the index {root} has {index.model} ({index.model_id})",
            path,
            "give a new folder, or --fresh to put another index in its place",
        )
    for what in ("template", "flip", "size"):
        have, want = getattr(stores, what), getattr(index, what)
        if have != want:
            raise ModelMismatch(
                f"its {what} is {have}, that of the index {root} {want}", path, "embed alike, or give a new folder"
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """masks: for each segment, which rows stay; new: of the rows of all stores, which are to be added; counts."""

    masks: list[Mask]
    new: Mask
    kept: int
    removed: int
    doubles: int
    forgotten: int


def _planned(config: BuildConfig, old: IndexHeader) -> _Plan:
    keys = _store_keys(config.stores)
    wanted, doubles, forgotten = admitted(keys, config.index)
    have = np.sort(keys[wanted])
    held = [np.array(IndexRows(config.index / segment.names, segment.rows).keys) for segment in old.segments]
    masks = [found_in(own, have) for own in held]
    if config.add:  # what other sources gave stays
        sources = np.sort(sources_of(keys))
        masks = [mask | ~found_in(sources_of(own), sources) for mask, own in zip(masks, held, strict=True)]
    staying = [own[mask] for own, mask in zip(held, masks, strict=True)]
    kept = sum(map(len, staying))
    new = wanted & ~found_in(keys, np.sort(np.concatenate([keys[:0], *staying])))
    return _Plan(masks, new, kept, old.rows - kept, doubles, forgotten)


def _store_keys(stores: Sequence[Path]) -> Keys:
    keys = [Columns.of([]).keys()]
    for path in stores:
        with Store(path) as store:
            keys += [store.columns(low, min(low + BLOCK, len(store))).keys() for low in range(0, len(store), BLOCK)]
    return np.concatenate(keys)


def _read(stores: Sequence[Path], wanted: Mask, emit: OnOutcome) -> Iterator[Block]:
    """The wanted rows of the stores, but for those whose embeddings are of no use."""
    at = 0
    times = PhotoTimes()
    for path in stores:
        with Store(path) as store:
            for low in range(0, len(store), BLOCK):
                high = min(low + BLOCK, len(store))
                mask = wanted[at : at + high - low]
                at += high - low
                if not mask.any():
                    continue
                columns, vectors = times.told(store.columns(low, high).kept(mask)), store.vectors(low, high)[mask]
                lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
                good = np.abs(lengths - 1.0) <= TOLERANCE  # not so where it is not a number
                for bad in np.flatnonzero(~good):
                    source = decode(columns.texts["source"][bad])
                    words = f"the embedding of {source} has length {lengths[bad]:g}, not 1; embed it again"
                    emit(Rejected(source, "bad_embedding", f"{path}: {words}"))
                columns = columns.kept(good)
                if len(columns):
                    yield Block(columns, columns.keys(), vectors[good])
                    emit(Done(str(path), count=len(columns)))
