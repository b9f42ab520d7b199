"""The stores during a run of embed: which sources must be embedded, and what is written for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_update import Key, SavedResult, StoreUpdate
from cosface_cli.embed.embed_tasks import EmbedTask, EmbedTasks
from cosface_cli.embed.target_stores import TargetStore
from cosface_cli.engines.photos.photo_embedder import PhotoEmbeddings, PhotoOrCrop
from cosface_cli.engines.runners.incremental import IncrementalRun, Outcome, is_unchanged, rejected
from cosface_cli.engines.sources.presence import AWAY
from cosface_cli.outcomes import Done, Rejected, Skipped

COLUMNS = ("source", "status", "reason", "identity", "face", "model")


class RowUpdates:
    """Updates the stores. All rows of a source are written together."""

    def __init__(
        self, work: EmbedTasks, targets: Sequence[TargetStore], stores: Sequence[StoreUpdate], run: IncrementalRun
    ) -> None:
        self.run = run
        self._work = work
        self._targets = targets
        self._stores = stores
        self._order = [task.key for task in work.tasks]

    def pending(self) -> Iterator[tuple[EmbedTask, PhotoOrCrop]]:
        """The sources to embed. Unchanged sources are counted."""
        for task in self._work.tasks:
            current = [self._current(store.results.get(task.key)) for store in self._stores]
            if _is_current(task, current):
                self._count([_unchanged(task, known) for known in current if known is not None])
                continue
            hashes = tuple(None if known is None else known.hash for known in current)
            yield task, replace(task.input, known=hashes)

    def write(self, task: EmbedTask, results: Sequence[PhotoEmbeddings]) -> None:
        """Write the results of a source, one for each model, then count it."""
        parts = zip(self._targets, self._stores, results, strict=True)
        self._count([self._write_one(task, *part) for part in parts])

    def publish(self, store: StoreUpdate) -> None:
        """Write the store, if anything changed."""
        if store.has_changes or not store.path.exists():
            store.publish(self._order)

    def removed_photos(self, prune: bool) -> int:
        """How many photos of the stores the source no longer contains; with prune their rows are removed."""
        removed: set[Key] = set()
        for store in self._stores:
            of_root = (key for key in store.results if key[0] == self._work.root)
            keys = self.run.removed_photos(of_root, self._order)
            if prune:
                store.drop(keys)
            self.run.note_removed(store.path, len(keys), "rows", prune)
            removed.update(keys)
        return len(removed)

    def _current(self, known: SavedResult | None) -> SavedResult | None:
        """The saved result of a source, if it was embedded with the settings of this run."""
        return known if known is not None and known.settings == self._work.settings else None

    def _write_one(self, task: EmbedTask, target: TargetStore, store: StoreUpdate, result: PhotoEmbeddings) -> Outcome:
        known = store.results.get(task.key)
        if result.unchanged and known is not None:
            return _unchanged(task, known)
        if result.reason in AWAY:
            self.run.require_source()
            if known is not None and known.reason is None:  # its rows stay
                return _outcome(task, target, result)
        rows = _rows(task, result, self._work.settings)
        vectors = np.zeros((0, target.header.size), np.float32) if result.vectors is None else result.vectors
        saved = SavedResult(
            hash=result.hash,
            size=result.size,
            mtime_ns=result.mtime_ns,
            settings=self._work.settings,
            reason=result.reason,
            words=result.words,
            rows=len(rows),
            start=-1,
            offset=-1,
        )
        store.add(rows, vectors, saved, task.key, self._order)
        return _outcome(task, target, result)

    def _count(self, outcomes: Sequence[Outcome]) -> None:
        """Count a source: the rows of all models together, and each reason of a rejection once."""
        rejects = {outcome.reason: outcome for outcome in outcomes if isinstance(outcome, Rejected)}
        rows = [row for outcome in outcomes if isinstance(outcome, Done) for row in outcome.rows]
        self.run.count(*rejects.values())
        if rows:
            self.run.count(Done(outcomes[0].source, tuple(rows)))
        elif not rejects:
            self.run.count(outcomes[0])


def _is_current(task: EmbedTask, current: Sequence[SavedResult | None]) -> bool:
    """Whether all models embedded the file, judged by its size and time. Crops are judged by their content instead."""
    files = {None if known is None else (known.size, known.mtime_ns) for known in current}
    if task.input.crop is not None or len(files) > 1:
        return False
    file = files.pop()
    return file is not None and is_unchanged(task.input.place, *file)


def _unchanged(task: EmbedTask, known: SavedResult) -> Skipped | Rejected:
    if known.reason is not None:  # every run reports its rejects
        return rejected(task.display_name, known.reason, known.words, COLUMNS)
    return Skipped(task.display_name)


def _rows(task: EmbedTask, result: PhotoEmbeddings, settings: str) -> list[FaceRow]:
    root, source = task.key
    return [
        FaceRow(
            source=source,
            identity=task.identity,
            root=root,
            settings=settings,
            face=number,
            box=box,
            score=score,
            sharpness=sharp,
            hash=result.hash,
            size=result.size,
            mtime_ns=result.mtime_ns,
        )
        for number, (box, score, sharp) in enumerate(result.faces, 1)
    ]


def _outcome(task: EmbedTask, target: TargetStore, result: PhotoEmbeddings) -> Done | Rejected:
    if result.reason is not None:
        return rejected(task.display_name, result.reason, result.words, COLUMNS)
    row = {"source": task.display_name, "status": "ok", "reason": None, "identity": task.identity}
    faces = range(1, len(result.faces) + 1)
    return Done(task.display_name, tuple({**row, "face": number, "model": target.header.model} for number in faces))
