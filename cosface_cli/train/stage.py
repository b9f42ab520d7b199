"""From a crop folder to a run folder."""

from __future__ import annotations

import platform
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cosface_cli import __version__
from cosface_cli.artifacts import atomic
from cosface_cli.artifacts.run_record import RunFolder, RunRecord, read_metrics, write_metrics, write_record
from cosface_cli.artifacts.weights import read_header
from cosface_cli.backbones import Backbone
from cosface_cli.backbones.export import to_onnx
from cosface_cli.backbones.loading import declaration
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Done, Moved, Note, Outcome, Rejected, Skipped, Tell, ignore
from cosface_cli.train import TrainConfig, TrainReport
from cosface_cli.train.checkpoint import load_state, save_state
from cosface_cli.train.data import LabelledCrops, fingerprint, label, named
from cosface_cli.train.device import choose, loaders_for, settled
from cosface_cli.train.going_on import compare_machines, is_finished, standing
from cosface_cli.train.learner import Learner, new_learner
from cosface_cli.train.loop import NotFinite, Progress, fit, untrained_row
from cosface_cli.train.outputs import stopped, write_weights
from cosface_cli.train.preflight import check_margin, describe
from cosface_cli.train.schedule import Schedule
from cosface_cli.train.settings import Settings, default_out, resolve
from cosface_cli.train.validation import validate

if TYPE_CHECKING:
    from cosface_cli.engines.pair_files import PairCrops


def train(config: TrainConfig, tell: Tell = ignore) -> TrainReport:
    """Train a network on a crop folder, or go on with a run that was stopped.

    Tells a Done for each epoch, whose row is the line of metrics.jsonl, images_per_second, and wait: the share 0..1 of
    the time in which the network waited for crops. Raises CosfaceError
    for data or settings that cannot be trained with, for a run folder of another run, and where the loss is no
    number any more.
    """
    settings = resolve(config)
    backbone = declaration(settings.backbone)
    device = choose(config.device, tell)
    folder = RunFolder(config.out or default_out(settings))
    source = named(config.aligned)
    data, dropped = label(
        config.aligned,
        settings.template,
        template(backbone.template),
        settings.min_images,
        settings.batch,
        settings.seed,
        settings.sampling,
        settings.augment,
        tell,
    )
    check_margin(settings, len(data.identities))
    facts = {"folder": source, "fingerprint": fingerprint(data), "crops": len(data.crops)}
    place = folder.root.absolute()
    atomic.make_folder(place.parent)
    with atomic.lock(place):
        before = standing(folder, settings, facts, config.resume, tell)
        if before is not None and is_finished(folder, before) and before.settings["epochs"] == settings.epochs:
            tell(Note(f"{folder.root}: this run is finished; --epochs N --resume goes on with it"))
            tell(Skipped(str(folder.root)))
            return _report(folder, before, data, None)
        describe(data, dropped, settings, source, tell)
        machine = _machine(device, config, before)
        if before is None:
            folder.state.unlink(missing_ok=True)  # a state without its run.json is of nobody knows which run
        else:
            compare_machines(before.machine, machine, tell)
        record = RunRecord(settings.as_json(), facts, data.identities, machine)
        pairs = _pairs(config, backbone, tell)
        data.readers.loaders = loaders_for(device, config.loaders)
        with closing(data.readers), settled(device, machine["threads"]):
            learner = new_learner(settings, backbone, len(data.identities), device)
            return _run(folder, record, settings, data, learner, pairs, config.save_seconds, tell)


def _run(
    folder: RunFolder,
    record: RunRecord,
    settings: Settings,
    data: LabelledCrops,
    learner: Learner,
    pairs: PairCrops | None,
    save_seconds: float,
    tell: Tell,
) -> TrainReport:
    schedule = Schedule(
        settings.schedule, settings.lr, data.steps, settings.epochs, settings.warmup, settings.milestones
    )
    progress = load_state(folder.state, learner) if folder.state.exists() else Progress()
    resumed_from = progress.step or None
    if resumed_from:
        if progress.begun > settings.epochs:
            raise CosfaceError(f"{progress.begun} epochs are begun already", folder.root, "give --epochs as many")
        tell(Note(f"{folder.root}: going on after step {progress.step}, in epoch {progress.epoch}"))
    atomic.make_folder(folder.state.parent)
    write_record(folder.record, record)
    folder.stopped.unlink(missing_ok=True)

    # rows of epochs that the saved state does not know of are trained once more
    metrics = [row for row in read_metrics(folder.metrics) if resumed_from and row["epoch"] < progress.epoch]
    if progress.step == 0:
        row = untrained_row(learner, data, schedule)
        row |= validate(learner, settings.embedding_size, pairs, tell).row if pairs else {}
        metrics = [row]
        write_metrics(folder.metrics, metrics)
        known = {name: value for name, value in row.items() if value is not None}
        tell(Note("before training: " + ", ".join(f"{name} {value:.4g}" for name, value in known.items())))

    saved_at = time.monotonic()

    def after_step() -> None:
        nonlocal saved_at
        tell(Moved(progress.step, data.steps * settings.epochs))
        if time.monotonic() - saved_at >= save_seconds and learner.is_finite:
            save_state(folder.state, learner, progress)
            saved_at = time.monotonic()

    try:
        seen, began, waited = progress.seen, time.monotonic(), data.readers.waited
        for row in fit(learner, data, schedule, settings.clip, settings.epochs, progress, after_step):
            seconds = time.monotonic() - began
            rate, wait = (data.steps * data.batch_size - seen) / seconds, (data.readers.waited - waited) / seconds
            checked = validate(learner, settings.embedding_size, pairs, tell) if pairs else None
            row |= checked.row if checked else {}
            write_weights(folder, learner, settings, record, checked.threshold if checked else None)
            metrics.append(row)
            write_metrics(folder.metrics, metrics)
            save_state(folder.state, learner, progress)  # last: with it the epoch counts
            tell(Done(f"epoch {row['epoch']}", ({**row, "images_per_second": round(rate, 1), "wait": round(wait, 4)},)))
            seen, began, saved_at, waited = 0, time.monotonic(), time.monotonic(), data.readers.waited
    except NotFinite as error:
        raise stopped(folder, error) from None

    shape = template(learner.backbone.template)
    atomic.write_bytes(folder.onnx, to_onnx(learner.network, shape.height, shape.width))
    record = replace(record, finished=True, model_id=read_header(folder.weights).model_id)
    write_record(folder.record, record)
    return _report(folder, record, data, resumed_from)


def _report(folder: RunFolder, record: RunRecord, data: LabelledCrops, resumed_from: int | None) -> TrainReport:
    rows = read_metrics(folder.metrics)
    return TrainReport(
        out=folder.root,
        weights=folder.weights,
        model_id=str(record.model_id),
        identities=len(data.identities),
        images=len(data.crops),
        epochs=int(record.settings["epochs"]),
        resumed_from=resumed_from,
        last=rows[-1] if rows else {},
    )


def _machine(device: torch.device, config: TrainConfig, before: RunRecord | None) -> dict[str, Any]:
    """What the last bits of the weights hang on. A run that goes on keeps its threads unless told otherwise."""
    recorded = before.machine.get("threads") if before is not None else None
    return {
        "device": device.type,
        "threads": int(config.threads or recorded or torch.get_num_threads()),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cosface": __version__,
    }


def _pairs(config: TrainConfig, backbone: Backbone, tell: Tell) -> PairCrops | None:
    if config.validate is None or config.validate_root is None:
        return None
    from cosface_cli.engines.pair_files import load_pair_crops  # opens a detector's runtime

    def rejects_alone(outcome: Outcome) -> None:  # the inputs that train counts are its epochs
        if isinstance(outcome, Rejected):
            tell(Note(outcome.words))

    pairs = load_pair_crops(config.validate, config.validate_root, template(backbone.template), rejects_alone)
    lacking = int(((pairs.left < 0) | (pairs.right < 0)).sum())
    without = f", of which {lacking} lack a crop and count as errors" if lacking else ""
    tell(Note(f"{config.validate}: {len(pairs.same)} pairs{without}"))
    if np.unique(pairs.fold).size < 2:
        raise CosfaceError("all pairs are of one fold", config.validate, "give pairs in two folds or more")
    return pairs
