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
from cosface_cli.artifacts.crops import read_lines
from cosface_cli.artifacts.run_record import RunFolder, RunRecord, read_metrics, write_record
from cosface_cli.artifacts.weights import read_header, read_tensors
from cosface_cli.backbones import Backbone
from cosface_cli.backbones.export import to_onnx
from cosface_cli.backbones.loading import load
from cosface_cli.engines.starting import Start
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Done, Moved, Note, Outcome, Rejected, Skipped, Tell, ignore
from cosface_cli.train import TrainConfig, TrainReport
from cosface_cli.train.centres import begin_at_centres
from cosface_cli.train.checkpoint import load_state, save_state
from cosface_cli.train.data import LabelledCrops
from cosface_cli.train.device import settled
from cosface_cli.train.footprint import measure
from cosface_cli.train.going_on import compare_machines, is_finished, standing
from cosface_cli.train.loop import NotFinite, Progress, fit, untrained_row
from cosface_cli.train.outputs import stopped, write_rows, write_weights
from cosface_cli.train.preflight import examine, say_costs
from cosface_cli.train.report import Trained, write_report
from cosface_cli.train.schedule import Schedule
from cosface_cli.train.scoring import Judge
from cosface_cli.train.settings import Settings, default_out
from cosface_cli.train.task import Task, learner_of, task_of

if TYPE_CHECKING:
    from cosface_cli.engines.pair_files import PairCrops


def train(config: TrainConfig, tell: Tell = ignore) -> TrainReport:
    """Train a network on a crop folder, or go on with a run that was stopped.

    Tells a Done for each epoch, whose row is the line of metrics.jsonl, images_per_second, and wait: the share 0..1
    of the time in which the network waited for crops. Raises CosfaceError for data or settings that cannot be trained
    with, for a run folder of another run, and where the loss is no number any more.
    """
    task = task_of(config, tell)
    folder = RunFolder(config.out or default_out(task.settings))
    place = folder.root.absolute()
    atomic.make_folder(place.parent)
    with atomic.lock(place):
        before = standing(folder, task.settings, task.facts, config.resume, tell)
        if before is not None and is_finished(folder, before, task.settings, config.report):
            unit = "epochs" if task.settings.steps is None else "steps"
            tell(Note(f"{folder.root}: this run is finished; --{unit} N --resume goes on with it"))
            tell(Skipped(str(folder.root)))
            return _report(folder, before, task.data, None, None)
        examine(task.data, task.dropped, task.held, task.settings, task.schedule.steps, task.source, tell)
        machine = _machine(task.device, config, before)
        if before is None:
            folder.state.unlink(missing_ok=True)  # a state without its run.json is of nobody knows which run
        else:
            compare_machines(before.machine, machine, tell)
        record = RunRecord(task.settings.as_json(), task.facts, task.data.identities, machine)
        judge = Judge(task.settings, _pairs(config, task.backbone, tell), task.held, task.start)
        with closing(task.data.readers), settled(task.device, machine["threads"]):
            return _run(folder, record, task, judge, config, tell)


def preflight(config: TrainConfig, tell: Tell = ignore) -> dict[str, Any]:
    """Say and give what can be known before the first step: the data, the bounds of s and m, where the loss begins,
    memory and time. Nothing is written. Raises CosfaceError as train does."""
    task = task_of(config, tell)
    found = examine(task.data, task.dropped, task.held, task.settings, task.schedule.steps, task.source, tell)
    with closing(task.data.readers), settled(task.device, _machine(task.device, config, None)["threads"]):
        learner = learner_of(task)
        cost = measure(learner, task.settings, next(task.data.batches(1)))
    row = found.row | say_costs(cost, task.settings, task.data.batch_size, task.schedule.steps, tell)
    tell(Done(task.source, (row,)))
    return row


def _run(
    folder: RunFolder, record: RunRecord, task: Task, judge: Judge, config: TrainConfig, tell: Tell
) -> TrainReport:
    settings, data, schedule = task.settings, task.data, task.schedule
    learner = learner_of(task)
    progress = load_state(folder.state, learner) if folder.state.exists() else Progress()
    resumed_from = progress.step or None
    if resumed_from:
        if progress.step > schedule.steps:
            begun = f"{progress.step} steps, {progress.epoch - (progress.position == 0)} epochs, are done already"
            raise CosfaceError(begun, folder.root, "ask for as many")
        tell(Note(f"{folder.root}: going on after step {progress.step}, in epoch {progress.epoch}"))
    atomic.make_folder(folder.state.parent)
    write_record(folder.record, record)
    for stale in (folder.stopped, folder.report, folder.noise):
        stale.unlink(missing_ok=True)

    metrics = _rows_so_far(folder, progress, schedule)
    if progress.step == 0:
        first = next(data.batches(1))
        say_costs(measure(learner, settings, first), settings, data.batch_size, schedule.steps, tell)
        if task.start:
            begin_at_centres(learner, data)
        row = untrained_row(learner, first, schedule, settings)
        scored = judge.untrained(learner, tell)
        row |= scored.row
        if task.start:  # what no epoch may be worse than
            write_weights(folder, learner, settings, record, scored.threshold, task.start, kept=True)
            if scored.score is not None:
                progress.take(0, scored.score)
        metrics = [row]
        write_rows(folder, metrics)
        tell(Note("before training: " + ", ".join(f"{name} {_short(value)}" for name, value in row.items())))

    saved_at = time.monotonic()

    def after_step() -> None:
        nonlocal saved_at
        tell(Moved(progress.step, schedule.steps))
        if time.monotonic() - saved_at >= config.save_seconds and learner.is_finite:
            save_state(folder.state, learner, progress)
            saved_at = time.monotonic()

    try:
        step, began, waited = progress.step, time.monotonic(), data.readers.waited
        epochs = (
            iter(())
            if _is_patience_gone(progress, settings)
            else fit(learner, data, schedule, settings, progress, after_step)
        )
        for row in epochs:
            seconds = time.monotonic() - began
            rate, wait = (progress.step - step) * data.batch_size / seconds, (data.readers.waited - waited) / seconds
            scored = judge.epoch(learner, tell)
            row |= scored.row
            better = scored.score is not None and progress.take(row["epoch"], scored.score)
            kept = better or settings.keep == "last" or not folder.weights.exists()
            write_weights(folder, learner, settings, record, scored.threshold, task.start, kept)
            metrics.append(row)
            write_rows(folder, metrics)
            save_state(folder.state, learner, progress)  # last: with it the epoch counts
            tell(Done(f"epoch {row['epoch']}", ({**row, "images_per_second": round(rate, 1), "wait": round(wait, 4)},)))
            if _is_patience_gone(progress, settings):
                tell(Note(f"no better score for {settings.patience} epochs (--patience): stopped"))
                break
            step, began, saved_at, waited = progress.step, time.monotonic(), time.monotonic(), data.readers.waited
    except NotFinite as error:
        raise stopped(folder, error, settings, progress.best_epoch) from None

    _say_kept(progress, settings, task.start, tell)
    shape = template(task.backbone.template)
    header = read_header(folder.weights)
    network = load(header.backbone, header.embedding_size, read_tensors(folder.weights))
    atomic.write_bytes(folder.onnx, to_onnx(network, shape.height, shape.width))
    best_epoch = progress.best_epoch if settings.keep == "best" else None
    if config.report:
        write_report(folder, task, learner, judge.pairs, Trained(network, header, record, metrics, best_epoch), tell)
    record = replace(record, finished=True, model_id=header.model_id)
    write_record(folder.record, record)
    return _report(folder, record, data, resumed_from, best_epoch)


def _rows_so_far(folder: RunFolder, progress: Progress, schedule: Schedule) -> list[dict[str, Any]]:
    """The rows of epochs that the saved state knows of; the others are trained once more."""
    if progress.step == 0:
        return []
    whole = [row for row in read_metrics(folder.metrics) if row["epoch"] < progress.epoch]
    if progress.step < schedule.steps:
        return whole
    part = [row for row in read_metrics(folder.metrics) if row["epoch"] == progress.epoch]
    return whole + [row for row in part if row.get("step") == progress.step]


def _is_patience_gone(progress: Progress, settings: Settings) -> bool:
    done = progress.epoch - (progress.position == 0)
    return bool(settings.patience) and done - (progress.best_epoch or 0) >= settings.patience


def _say_kept(progress: Progress, settings: Settings, start: Start | None, tell: Tell) -> None:
    if settings.keep != "best" or progress.best is None:
        return
    if progress.best_epoch == 0 and start is not None:
        tell(Note("no epoch did better than the start on people it was not trained on: the start's weights are kept"))
    else:
        tell(Note(f"kept: the weights of epoch {progress.best_epoch}, score {progress.best:.4g}"))


def _report(
    folder: RunFolder, record: RunRecord, data: LabelledCrops, resumed_from: int | None, best_epoch: int | None
) -> TrainReport:
    rows = read_metrics(folder.metrics)
    return TrainReport(
        out=folder.root,
        weights=folder.weights,
        model_id=str(record.model_id),
        identities=len(data.identities),
        images=len(data.crops),
        epochs=int(rows[-1]["epoch"]) if rows else 0,
        resumed_from=resumed_from,
        last=rows[-1] if rows else {},
        best_epoch=best_epoch,
        suspects=len(list(read_lines(folder.noise))) if folder.noise.is_file() else None,
    )


def _short(value: Any) -> str:
    return "none" if value is None else f"{value:.4g}"


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
