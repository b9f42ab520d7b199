"""Crops or photos to a store: list, skip what is there, embed in chunks, keep each source's rows together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cosface_cli.artifacts import atomic
from cosface_cli.artifacts.crops import Crop, is_crop_folder, open_crops
from cosface_cli.artifacts.rows import Row
from cosface_cli.artifacts.store import StoreHeader
from cosface_cli.artifacts.store_update import Key, Known, StoreUpdate
from cosface_cli.embed import EmbedConfig, EmbedReport
from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.embedders import FLIPS
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.face_vectors import Input, Vectors, VectorsOpener
from cosface_cli.engines.reader import CHOICES, Limits, absolute
from cosface_cli.engines.runners import RUNNERS, Runner, Seeing
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.listing import list_photos, unused_every
from cosface_cli.engines.sources.presence import AWAY, Presence, require_whole
from cosface_cli.engines.warp import require_cover
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Done, Note, Planned, Rejected, Skipped, Tally, Tell, ignore
from cosface_cli.registry import one_of

FOR_PHOTOS = ["detector", "faces", "min_face", "min_score", "max_megapixels", "min_sharpness", "max_yaw"]
FOR_PHOTOS += ["try_rotations", "root"]
CHUNK = 8  # sources handed to a worker at a time


@dataclass(frozen=True, slots=True)
class _Task:
    """One source. key: root and name as the store knows it; given: as typed."""

    key: Key
    given: str
    identity: str | None
    input: Input


@dataclass(frozen=True, slots=True)
class _Work:
    """settings: how the faces of the tasks are found; root: of all their keys; whole: whether the tasks are all that
    the source holds; files: what a worker must see."""

    tasks: list[_Task]
    settings: str
    root: str
    whole: bool
    files: tuple[Path, ...]


def embed(config: EmbedConfig, tell: Tell = ignore) -> EmbedReport:
    """Embed the faces of config.source into the store config.store.

    Sources that are there unchanged are skipped. Raises CosfaceError for a missing source, an unknown name, crops
    that do not show what the model needs, and ModelMismatch for a store of another model.
    """
    one_of(config.flip, FLIPS, "--flip")
    one_of(config.faces, CHOICES, "--faces")
    runner = RUNNERS.load(config.engine)
    embedder = open_embedder(config.model)
    presence = Presence(config.source)
    work = _crop_work(config, tell) if _holds_crops(config) else _photo_work(config, tell)
    if config.prune:
        require_whole(config.source, work.whole)
    for crop_template in {task.input.crop.template.name for task in work.tasks if task.input.crop is not None}:
        require_cover(template(crop_template), template(embedder.template), config.source)
    if not work.tasks:
        tell(Note(f"{config.source}: no photos here"))
        return EmbedReport(0, 0, 0, 0)
    size = embedder.size * (2 if config.flip == "concat" else 1)
    header = StoreHeader(embedder.name, embedder.model_id, embedder.template, config.flip, size)
    del embedder  # the workers open their own
    atomic.make_folder(config.store.parent)
    with atomic.lock(config.store):
        return _fill(config, header, work, presence, runner, tell)


def _fill(
    config: EmbedConfig, header: StoreHeader, work: _Work, presence: Presence, run: Runner, tell: Tell
) -> EmbedReport:
    store = StoreUpdate(config.store, header)
    if store.moved_aside is not None:
        tell(Note(f"{config.store}: this store is damaged; moved aside as {store.moved_aside.name}"))
    tasks, settings = work.tasks, work.settings
    gone = 0
    tell(Planned(len(tasks)))
    order = [task.key for task in tasks]
    tally = Tally()

    def count(outcome: Done | Skipped | Rejected) -> None:
        tally.add(outcome)
        tell(outcome)

    sent: deque[list[_Task]] = deque()  # workers are given the inputs alone

    def chunks() -> Iterator[list[Input]]:
        chunk: list[_Task] = []
        for task in tasks:
            known = store.known.get(task.key)
            if known is not None and known.settings == settings:
                if _is_fresh(task, known):
                    count(_kept(task, known))
                    continue
                task = replace(task, input=replace(task.input, known_hash=known.hash))
            chunk.append(task)
            if len(chunk) == CHUNK:
                sent.append(chunk)
                yield [task.input for task in chunk]
                chunk = []
        if chunk:
            sent.append(chunk)
            yield [task.input for task in chunk]

    try:
        count_of_chunks = -(-len(tasks) // CHUNK)
        for _, results in run(chunks(), Seeing(_how(config), work.files), config.workers, count_of_chunks):
            for task, result in zip(sent.popleft(), results, strict=True):
                known = store.known.get(task.key)
                if result.unchanged and known is not None:
                    count(_kept(task, known))
                    continue
                if result.reason in AWAY:
                    presence.require()
                    if known is not None and known.reason is None:
                        count(_told(task, result))
                        continue
                rows = _rows(task, result, settings)
                vectors = np.zeros((0, header.size), np.float32) if result.vectors is None else result.vectors
                news = Known(
                    result.hash, result.size, result.mtime_ns, settings, result.reason, result.words, len(rows), -1, -1
                )
                store.add(rows, vectors, news, task.key, order)
                count(_told(task, result))  # only now: what is told is kept
        if work.whole:
            presence.require()
            gone = _gone(config, store, work, tell)
    except CosfaceError:
        presence.require()  # where the source is gone, that is why
        raise
    finally:
        try:
            if store.has_news or not config.store.exists():
                store.publish(order)
        finally:
            store.close()
    rows_now = sum(known.rows for known in store.known.values())
    return EmbedReport(rows_now, tally.done, tally.skipped, tally.rejected, gone)


def _gone(config: EmbedConfig, store: StoreUpdate, work: _Work, tell: Tell) -> int:
    """How many photos of the store the source holds no more: dropped, or told."""
    listed = {task.key for task in work.tasks}
    gone = [key for key in store.known if key[0] == work.root and key not in listed]
    if gone:
        done = "their rows are dropped" if config.prune else "--prune drops their rows"
        tell(Note(f"{config.store}: {len(gone)} of its photos are not in {config.source} any more; {done}"))
    if config.prune:
        store.drop(gone)
    return len(gone)


def _how(config: EmbedConfig) -> VectorsOpener:
    flip: Any = config.flip
    choice: Any = config.faces
    return VectorsOpener(config.model, flip, config.detector, choice, _limits(config), config.try_rotations)


def _limits(config: EmbedConfig) -> Limits:
    return Limits(config.min_face, config.min_score, config.max_megapixels, config.min_sharpness, config.max_yaw)


def _holds_crops(config: EmbedConfig) -> bool:
    return config.crops_template is not None or (config.source != "-" and is_crop_folder(Path(config.source)))


def _crop_work(config: EmbedConfig, tell: Tell) -> _Work:
    for note in unused_every(config.source, config.every, 0):
        tell(Note(note))
    usual = EmbedConfig(config.source, config.store)
    unused = [name for name in FOR_PHOTOS if getattr(config, name) != getattr(usual, name)]
    if unused:
        flags = ", ".join("--" + name.replace("_", "-") for name in unused)
        tell(Note(f"{config.source}: these are crops already, {flags} changes nothing"))
    root = absolute(config.source)
    crops: list[Crop] = open_crops(root, config.crops_template)
    tasks = [
        _Task((str(root), crop.name), str(Path(config.source) / crop.name), crop.identity, Input(File(crop.path), crop))
        for crop in crops
    ]
    return _Work(tasks, f"crops template={crops[0].template.name}", str(root), whole=True, files=(root,))


def _photo_work(config: EmbedConfig, tell: Tell) -> _Work:
    listing = list_photos(config.source, None, config.every, config.root)
    for note in listing.notes:
        tell(Note(note))
    root = str(absolute(listing.root))
    detector = open_detector(config.detector, config.min_face).name
    named = config.source != "-" or config.root is not None  # else the first folder level is anything
    tasks = [
        _Task((root, item.name), item.given, item.identity if named else None, Input(item.place))
        for item in listing.items
    ]
    settings = f"photos detector={detector} faces={config.faces} {_limits(config).settings}"
    if config.try_rotations:
        settings += " try_rotations"
    return _Work(tasks, settings, root, listing.whole, listing.files)


def _is_fresh(task: _Task, known: Known) -> bool:
    """Whether the file's size and time say that it is unchanged; a crop file is known by its content alone."""
    if task.input.crop is not None:
        return False
    try:
        return task.input.place.status() == (known.size, known.mtime_ns)
    except OSError:
        return False


def _kept(task: _Task, known: Known) -> Skipped | Rejected:
    if known.reason is not None:
        return Rejected(task.given, known.reason, known.words)
    return Skipped(task.given)


def _rows(task: _Task, result: Vectors, settings: str) -> list[Row]:
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


def _told(task: _Task, result: Vectors) -> Done | Rejected:
    if result.reason is not None:
        return Rejected(task.given, result.reason, result.words)
    row = {"source": task.given, "status": "ok", "reason": None, "identity": task.identity}
    return Done(task.given, tuple({**row, "face": number} for number in range(1, len(result.faces) + 1)))
