"""The functions of index: build an index, add to it, and search it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.forgotten import FILE as FORGOTTEN
from cosface_cli.artifacts.index.forgotten import require_no_unfinished_forget
from cosface_cli.artifacts.index.index_folder import MAIN, IndexHeader, read_header, require_index_or_empty
from cosface_cli.artifacts.store.store_series import common_header, require_finished
from cosface_cli.index import AddConfig, BuildConfig, BuildReport, SearchConfig, SearchReport
from cosface_cli.index.build.build_report import build_report
from cosface_cli.index.build.existing_index import index_to_add_to, index_to_update
from cosface_cli.index.build.search_choice import SearchChoice
from cosface_cli.index.build.segments import SegmentWriter, publish_segments, write_changes
from cosface_cli.index.build.store_rows import RowPlan, plan_rows, read_new_rows
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.search.hits import HitFinder, hit_rows
from cosface_cli.index.search.probes import read_probes
from cosface_cli.index.search.row_filters import filtered_rows
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, Rejected, Skipped, Tally, ignore


def build(config: BuildConfig, emit: OnOutcome = ignore) -> BuildReport:
    """Make the index hold exactly the rows of the stores. An existing index stays in place until the new one is whole.

    Only new and changed rows are added. A row that is not finite or not of unit length is Rejected. Of rows with the
    same source, face and content one is taken. Raises ModelMismatch for stores of different models, or of another model
    than the index's; CosfaceError for a store that is still being written.
    """
    choice = SearchChoice.of(config.search, config.recall, config.engine, config.uri)
    stores = common_header(config.stores)
    return _update(config, choice, lambda: index_to_update(config, stores, choice, emit), emit, adding=False)


def add(config: AddConfig, emit: OnOutcome = ignore) -> BuildReport:
    """Add the rows of the stores to an index and keep its rows from other sources; else as build."""
    engine = uri = None
    if (config.index / MAIN).is_file():
        header = read_header(config.index)
        engine, uri = header.engine, header.uri
    choice = SearchChoice.of(config.search, config.recall, engine, uri)
    stores = common_header(config.stores)
    return _update(config, choice, lambda: index_to_add_to(config, stores, choice), emit, adding=True)


def search(config: SearchConfig, emit: OnOutcome = ignore) -> SearchReport:
    """The k nearest rows of the index for each face of each probe, best first; one Done per probe.

    A photo without a usable face is Rejected. Raises ModelMismatch for a store, or a model, other than the index's.
    """
    gallery = Gallery(config.index, config.exact)
    finder = HitFinder(gallery, config, filtered_rows(gallery, config.filters, config.since))
    tally = Tally()
    hits = 0
    for batch in read_probes(config, gallery.header, emit):
        probes = [probe for probe in batch if not isinstance(probe, Rejected)]
        faces = [(probe.name, face, score) for probe in probes for face, score in enumerate(probe.scores, 1)]
        vectors = [probe.vectors for probe in probes]
        rows_of_faces = iter(hit_rows(gallery, faces, finder.hits(np.concatenate(vectors))) if faces else [])
        for probe in batch:
            if isinstance(probe, Rejected):
                tally.add(probe)
                emit(probe)
                continue
            rows = tuple(row for _ in probe.vectors for row in next(rows_of_faces))
            tally.add(Done(probe.name))
            emit(Done(probe.name, rows))
            hits += len(rows)
    return SearchReport(probes=tally.done, hits=hits, rejected=tally.rejected, rows=gallery.header.rows)


def _update(
    config: AddConfig,
    choice: SearchChoice,
    existing_index: Callable[[], IndexHeader],
    emit: OnOutcome,
    *,
    adding: bool,
) -> BuildReport:
    """Write an index that takes rows from stores.

    existing_index: reads the index to start from, under the lock. adding: whether its rows from other sources remain.
    """
    root = config.index
    for path in config.stores:
        require_finished(path)
    atomic.make_folder(root)
    require_index_or_empty(root)
    with atomic.lock(root / MAIN), atomic.write_errors(root):
        require_no_unfinished_forget(root)
        old = existing_index()
        plan = plan_rows(root, old, config.stores, keep_other_sources=adding)
        new_count = int(plan.new.sum())
        emit(Planned(plan.remaining + new_count))
        if plan.remaining:
            emit(Skipped(str(root), plan.remaining))
        writer = SegmentWriter(root, old.size, choice, old.next_id, emit)
        new_rows = partial(read_new_rows, config.stores, plan.new, emit)
        write_changes(writer, old, plan.remaining_masks, new_rows, new_count)
        # a build takes all vectors from stores, so no vector is mapped any more (see upkeep.stage.migrate)
        header = writer.header(old if adding else replace(old, mapped=None))
        paths = [str(path.absolute()) for path in config.stores]
        header = replace(header, stores=tuple(dict.fromkeys([*(old.stores if adding else ()), *paths])))
        publish_segments(root, header)
    _emit_notes(root, plan, emit)
    return build_report(
        root,
        header,
        added=header.rows - plan.remaining,
        removed=plan.removed,
        doubles=plan.duplicates,
        forgotten=plan.forgotten,
    )


def _emit_notes(root: Path, plan: RowPlan, emit: OnOutcome) -> None:
    if plan.duplicates:
        emit(Note(f"{plan.duplicates} rows are in the stores more than once; each was taken once"))
    if plan.removed:
        emit(Note(f"{plan.removed} rows were removed from the index: they changed, or are no longer in the stores"))
    if plan.forgotten:
        left_out = f"{plan.forgotten} rows of the stores were left out: their faces were forgotten"
        emit(Note(f"{left_out}; to add them again, remove their line from {root / FORGOTTEN}"))
