"""Crops or photos to stores: list, skip what is there, embed in chunks, keep each source's rows together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.artifacts.store.store_update import Key, Known, StoreUpdate
from cosface_cli.embed import EmbedConfig, EmbedReport
from cosface_cli.embed.models import Model, models_of, placed
from cosface_cli.embed.work import Task, Work, work_of
from cosface_cli.engines.embedders import FLIPS
from cosface_cli.engines.photos.face_vectors import Input, Vectors, VectorsOpener
from cosface_cli.engines.photos.limits import limits_of
from cosface_cli.engines.photos.reader import CHOICES
from cosface_cli.engines.photos.warp import require_cover
from cosface_cli.engines.runners import RUNNERS, Opener, Runner
from cosface_cli.engines.sources.presence import AWAY, Presence, require_whole
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, Rejected, Skipped, Tally, ignore
from cosface_cli.registry import one_of

Ended = Done | Skipped | Rejected


def embed(config: EmbedConfig, emit: OnOutcome = ignore) -> EmbedReport:
    """Embed the faces of config.source into the store config.store, or with several models into one store each there.

    Sources that are there unchanged are skipped. Raises CosfaceError for a missing source, an unknown name or device,
    crops that do not show what a model needs, and ModelMismatch for a store of another model.
    """
    one_of(config.flip, FLIPS, "--flip")
    one_of(config.faces, CHOICES, "--faces")
    runner: Runner = RUNNERS.load(config.engine)
    models = models_of(config)
    presence = Presence(config.source)
    work = work_of(config, emit)
    if config.prune:
        require_whole(config.source, work.whole)
    for crop_template in {task.input.crop.template.name for task in work.tasks if task.input.crop is not None}:
        for model in models:
            require_cover(template(crop_template), template(model.header.template), config.source)
    opener, chunk = placed(config, _how(config, models), work.files, emit)
    if not work.tasks:
        emit(Note(f"{config.source}: no photos here"))
        return EmbedReport(0, 0, 0, 0)
    with ExitStack() as held:
        for model in models:
            atomic.make_folder(model.store.parent)
            held.enter_context(atomic.lock(model.store))
        return _Run(config, models, work, presence, emit).over(runner, opener, chunk)


def _how(config: EmbedConfig, models: Sequence[Model]) -> VectorsOpener:
    flip: Any = config.flip
    choice: Any = config.faces
    return VectorsOpener(
        tuple(model.spec for model in models),
        flip,
        config.detector,
        choice,
        limits_of(config),
        config.try_rotations,
        precision=config.precision,
    )


class _Run:
    def __init__(
        self, config: EmbedConfig, models: tuple[Model, ...], work: Work, presence: Presence, emit: OnOutcome
    ) -> None:
        self.config = config
        self.models = models
        self.work = work
        self.presence = presence
        self.emit = emit
        self.tally = Tally()
        self.order = [task.key for task in work.tasks]
        self.stores: list[StoreUpdate] = []  # by model
        self.sent: deque[list[Task]] = deque()  # workers are given the inputs alone

    def over(self, run: Runner, opener: Opener | tuple[Opener, ...], size: int) -> EmbedReport:
        with ExitStack() as opened:
            for model in self.models:
                store = StoreUpdate(model.store, model.header)
                opened.callback(store.close)
                self.stores.append(store)
                if store.moved_aside is not None:
                    self.emit(Note(f"{model.store}: this store is damaged; moved aside as {store.moved_aside.name}"))
            for store in self.stores:
                opened.callback(self._publish, store)
            tasks = self.work.tasks
            self.emit(Planned(len(tasks)))
            gone: set[Key] = set()
            try:
                for _, results in run(self._chunks(size), opener, self.config.workers, -(-len(tasks) // size)):
                    for task, own in zip(self.sent.popleft(), results, strict=True):
                        parts = zip(self.models, self.stores, own, strict=True)
                        self._count([self._keep(task, *part) for part in parts])
                if self.work.whole:
                    self.presence.require()
                    gone.update(key for store in self.stores for key in self._gone(store))
            except CosfaceError:
                self.presence.require()  # where the source is gone, that is why
                raise
        rows = sum(known.rows for store in self.stores for known in store.known.values())
        return EmbedReport(rows, self.tally.done, self.tally.skipped, self.tally.rejected, len(gone))

    def _publish(self, store: StoreUpdate) -> None:
        if store.has_news or not store.path.exists():
            store.publish(self.order)

    def _chunks(self, size: int) -> Iterator[list[Input]]:
        chunk: list[Task] = []
        for task in self.work.tasks:
            known = [store.known.get(task.key) for store in self.stores]
            same = [one if one is not None and one.settings == self.work.settings else None for one in known]
            if _are_fresh(task, same):
                self._count([_kept(task, one) for one in same if one is not None])
                continue
            hashes = tuple(None if one is None else one.hash for one in same)
            chunk.append(replace(task, input=replace(task.input, known=hashes)))
            if len(chunk) == size:
                self.sent.append(chunk)
                yield [task.input for task in chunk]
                chunk = []
        if chunk:
            self.sent.append(chunk)
            yield [task.input for task in chunk]

    def _keep(self, task: Task, model: Model, store: StoreUpdate, result: Vectors) -> Ended:
        """Keep what a model made of a source, and only then say so."""
        known = store.known.get(task.key)
        if result.unchanged and known is not None:
            return _kept(task, known)
        if result.reason in AWAY:
            self.presence.require()
            if known is not None and known.reason is None:
                return _told(task, model, result)
        settings = self.work.settings
        rows = _rows(task, result, settings)
        vectors = np.zeros((0, model.header.size), np.float32) if result.vectors is None else result.vectors
        news = Known(
            result.hash, result.size, result.mtime_ns, settings, result.reason, result.words, len(rows), -1, -1
        )
        store.add(rows, vectors, news, task.key, self.order)
        return _told(task, model, result)

    def _count(self, ended: Sequence[Ended]) -> None:
        """Tell what became of a source, once where the models agree."""
        rejects = {one.reason: one for one in ended if isinstance(one, Rejected)}
        rows = [row for one in ended if isinstance(one, Done) for row in one.rows]
        outcomes: list[Ended] = [*rejects.values()]
        if rows:
            outcomes.append(Done(ended[0].source, tuple(rows)))
        elif not rejects:
            outcomes.append(ended[0])
        for outcome in outcomes:
            self.tally.add(outcome)
            self.emit(outcome)

    def _gone(self, store: StoreUpdate) -> list[Key]:
        """The photos of a store that the source holds no more: dropped, or told."""
        listed = set(self.order)
        gone = [key for key in store.known if key[0] == self.work.root and key not in listed]
        if gone:
            done = "their rows are dropped" if self.config.prune else "--prune drops their rows"
            told = f"{len(gone)} of its photos are not in {self.config.source} any more; {done}"
            self.emit(Note(f"{store.path}: {told}"))
        if self.config.prune:
            store.drop(gone)
        return gone


def _are_fresh(task: Task, known: Sequence[Known | None]) -> bool:
    """Whether the file's size and time say that no model has it to do; a crop file is known by its content alone."""
    if task.input.crop is not None or None in known:
        return False
    try:
        status = task.input.place.status()
    except OSError:
        return False
    return all(one is not None and status == (one.size, one.mtime_ns) for one in known)


def _kept(task: Task, known: Known) -> Skipped | Rejected:
    if known.reason is not None:
        return Rejected(task.given, known.reason, known.words)
    return Skipped(task.given)


def _rows(task: Task, result: Vectors, settings: str) -> list[Row]:
    root, source = task.key
    return [
        Row(
            source=source,
            identity=task.identity,
            root=root,
            settings=settings,
            face=number,
            box=box,  # type: ignore[arg-type]
            score=score,
            sharpness=sharp,
            hash=result.hash,
            size=result.size,
            mtime_ns=result.mtime_ns,
        )
        for number, (box, score, sharp) in enumerate(result.faces, 1)
    ]


def _told(task: Task, model: Model, result: Vectors) -> Done | Rejected:
    if result.reason is not None:
        return Rejected(task.given, result.reason, result.words)
    row = {"source": task.given, "status": "ok", "reason": None, "identity": task.identity}
    faces = range(1, len(result.faces) + 1)
    return Done(task.given, tuple({**row, "face": number, "model": model.header.model} for number in faces))
