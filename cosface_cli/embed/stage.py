"""Crops or photos to a store: list, skip what is there, embed in chunks, keep each source's rows together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from cosface_cli.engines.runners import RUNNERS, Opener, Runner, Seeing
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.listing import list_photos, unused_every
from cosface_cli.engines.warp import require_cover
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

    def __str__(self) -> str:
        return self.given


def embed(config: EmbedConfig, tell: Tell = ignore) -> EmbedReport:
    """Embed the faces of config.source into the store config.store.

    Sources that are there unchanged are skipped. Raises CosfaceError for a missing source, an unknown name, crops
    that do not show what the model needs, and ModelMismatch for a store of another model.
    """
    one_of(config.flip, FLIPS, "--flip")
    one_of(config.faces, CHOICES, "--faces")
    runner = RUNNERS.load(config.engine)
    embedder = open_embedder(config.model)
    tasks, settings, files = _crop_tasks(config, tell) if _holds_crops(config) else _photo_tasks(config, tell)
    for crop_template in {task.input.crop.template.name for task in tasks if task.input.crop is not None}:
        require_cover(template(crop_template), template(embedder.template), config.source)
    if not tasks:
        tell(Note(f"{config.source}: no photos here"))
        return EmbedReport(0, 0, 0, 0)
    size = embedder.size * (2 if config.flip == "concat" else 1)
    header = StoreHeader(embedder.name, embedder.model_id, embedder.template, config.flip, size)
    atomic.make_folder(config.store.parent)
    with atomic.lock(config.store):
        return _fill(config, header, tasks, settings, runner, Seeing(_Opener(_how(config)), files), tell)


def _fill(
    config: EmbedConfig,
    header: StoreHeader,
    tasks: list[_Task],
    settings: str,
    run: Runner,
    opener: Opener,
    tell: Tell,
) -> EmbedReport:
    store = StoreUpdate(config.store, header)
    if store.moved_aside is not None:
        tell(Note(f"{config.store}: this store is damaged; moved aside as {store.moved_aside.name}"))
    tell(Planned(len(tasks)))
    order = [task.key for task in tasks]
    tally = Tally()

    def count(outcome: Done | Skipped | Rejected) -> None:
        tally.add(outcome)
        tell(outcome)

    def chunks() -> Iterator[list[_Task]]:
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
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    try:
        workers = 1 if len(tasks) <= CHUNK else config.workers
        for chunk, results in run(chunks(), opener, workers):
            for task, result in zip(chunk, results, strict=True):
                known = store.known.get(task.key)
                if result.unchanged and known is not None:
                    count(_kept(task, known))
                    continue
                rows = _rows(task, result, settings)
                vectors = np.zeros((0, header.size), np.float32) if result.vectors is None else result.vectors
                news = Known(
                    result.hash, result.size, result.mtime_ns, settings, result.reason, result.words, len(rows), -1, -1
                )
                store.add(rows, vectors, news, task.key, order)
                count(_told(task, result))  # only now: what is told is kept
    finally:
        try:
            if store.has_news or not config.store.exists():
                store.publish(order)
        finally:
            store.close()
    return EmbedReport(sum(known.rows for known in store.known.values()), tally.done, tally.skipped, tally.rejected)


@dataclass(frozen=True, slots=True)
class _Opener:
    """Embeds the inputs of a chunk of tasks."""

    how: VectorsOpener

    def open(self) -> Callable[[list[_Task]], list[Vectors]]:
        embed_files = self.how.open()
        return lambda tasks: embed_files([task.input for task in tasks])


def _how(config: EmbedConfig) -> VectorsOpener:
    flip: Any = config.flip
    choice: Any = config.faces
    return VectorsOpener(config.model, flip, config.detector, choice, _limits(config), config.try_rotations)


def _limits(config: EmbedConfig) -> Limits:
    return Limits(config.min_face, config.min_score, config.max_megapixels, config.min_sharpness, config.max_yaw)


def _holds_crops(config: EmbedConfig) -> bool:
    return config.crops_template is not None or (config.source != "-" and is_crop_folder(Path(config.source)))


def _crop_tasks(config: EmbedConfig, tell: Tell) -> tuple[list[_Task], str, tuple[Path, ...]]:
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
    return tasks, f"crops template={crops[0].template.name}", (root,)


def _photo_tasks(config: EmbedConfig, tell: Tell) -> tuple[list[_Task], str, tuple[Path, ...]]:
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
    return tasks, settings, listing.files


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
