"""Crops or photos to stores: list them, skip the unchanged ones, embed the others in workers, write their rows."""

from __future__ import annotations

from contextlib import ExitStack

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.store.store_update import StoreUpdate
from cosface_cli.embed import EmbedConfig, EmbedReport
from cosface_cli.embed.embed_tasks import EmbedTasks, embed_tasks
from cosface_cli.embed.row_updates import RowUpdates
from cosface_cli.embed.target_stores import TargetStore, target_stores, worker_openers
from cosface_cli.engines.photos.warp import require_cover
from cosface_cli.engines.runners import RUNNERS
from cosface_cli.engines.runners.incremental import IncrementalRun
from cosface_cli.engines.sources.presence import require_whole
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import OnOutcome, Planned, ignore


def embed(config: EmbedConfig, emit: OnOutcome = ignore) -> EmbedReport:
    """Embed the faces of config.source into the store config.store, or for several models into a store each.

    Unchanged sources are skipped. Raises CosfaceError for a missing source, an unknown name or device, crops that do
    not show what a model needs, and ModelMismatch for a store of another model.
    """
    targets = target_stores(config)
    run = IncrementalRun(config.source, emit)
    work = embed_tasks(config, emit)
    if config.prune:
        require_whole(config.source, work.whole)
    _require_cover(work, targets, config.source)
    opener, chunk = worker_openers(config, targets, work.files, emit)
    if not work.tasks:
        run.note(f"{config.source}: contains no photos")
        return EmbedReport()
    with ExitStack() as stack:
        for target in targets:
            atomic.make_folder(target.path.parent)
            stack.enter_context(atomic.lock(target.path))
        stores = [_open(target, run, stack) for target in targets]
        updates = RowUpdates(work, targets, stores, run)
        for store in stores:
            stack.callback(updates.publish, store)  # also after an error: what was done stays
        emit(Planned(len(work.tasks)))
        results = run.results(
            RUNNERS.load(config.engine),
            opener,
            updates.pending(),
            workers=config.workers,
            chunk=chunk,
            most=-(-len(work.tasks) // chunk),
        )
        with run.explaining_errors():
            for task, embeddings in results:
                updates.write(task, embeddings)
            removed = updates.removed_photos(config.prune) if work.whole else 0
    return EmbedReport(
        rows=sum(known.rows for store in stores for known in store.results.values()),
        done=run.tally.done,
        skipped=run.tally.skipped,
        rejected=run.tally.rejected,
        gone=removed,
    )


def _require_cover(work: EmbedTasks, targets: tuple[TargetStore, ...], source: str) -> None:
    """Raises CosfaceError if crops do not show all that a model needs."""
    for crop_template in {task.input.crop.template.name for task in work.tasks if task.input.crop is not None}:
        for target in targets:
            require_cover(template(crop_template), template(target.header.template), source)


def _open(target: TargetStore, run: IncrementalRun, stack: ExitStack) -> StoreUpdate:
    store = StoreUpdate(target.path, target.header)
    stack.callback(store.close)
    if store.moved_aside is not None:
        run.note(f"{target.path}: this store is damaged; it was moved to {store.moved_aside.name}")
    return store
