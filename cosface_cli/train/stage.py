"""From a crop folder to a run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.run.run_record import RunFolder, RunRecord, read_metrics, write_record
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, Note, OnOutcome, Progress, Skipped, ignore
from cosface_cli.train import TrainConfig, TrainReport
from cosface_cli.train.crops.dataset import Batch
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.distributed.launch import StoppedElsewhere, spread
from cosface_cli.train.job import Task, learner_of, task_of
from cosface_cli.train.preflight.checks import examine, say_costs
from cosface_cli.train.preflight.footprint import measure, settle
from cosface_cli.train.run_folder.checkpoint import load_state, save_state
from cosface_cli.train.run_folder.finish import finished, report_of, say_kept
from cosface_cli.train.run_folder.outputs import stopped, write_rows, write_weights
from cosface_cli.train.run_folder.resume import compare_machines, is_finished, machine_of, standing
from cosface_cli.train.scoring.judge import UNSCORED, Judge
from cosface_cli.train.scoring.validation import pairs_of
from cosface_cli.train.setup.device import settled
from cosface_cli.train.setup.settings import Settings, default_out
from cosface_cli.train.step.class_centres import begin_at_centres
from cosface_cli.train.step.learner import Learner
from cosface_cli.train.step.loop import NotFinite, TrainState, fit, untrained_row
from cosface_cli.train.step.schedule import Schedule


def train(config: TrainConfig, emit: OnOutcome = ignore) -> TrainReport:
    """Train a network on a crop folder, or go on with a run that was stopped.

    Tells a Done for each epoch, whose row is the line of metrics.jsonl, images_per_second, and wait: the share 0..1
    of the time in which the network waited for crops. Raises CosfaceError for data or settings that cannot be trained
    with, for a run folder of another run, and where the loss is no number any more.
    """
    return spread(_train, config, emit)


def preflight(config: TrainConfig, emit: OnOutcome = ignore) -> dict[str, Any]:
    """Say and give what can be known before the first step: the data, the bounds of s and m, where the loss begins,
    memory and time of each process. Nothing is written. Raises CosfaceError as train does."""
    return spread(_preflight, config, emit)


def _train(config: TrainConfig, ranks: Ranks, emit: OnOutcome) -> TrainReport:
    task = task_of(config, emit, ranks)
    folder = RunFolder(config.out or default_out(task.settings))
    with _owned(folder, ranks):
        before = standing(folder, task.settings, task.facts, config.resume, emit) if ranks.is_first else None
        before = ranks.told(before)
        if ranks.told(before is not None and is_finished(folder, before, task.settings, config.report)):
            unit = "epochs" if task.settings.steps is None else "steps"
            emit(Note(f"{folder.root}: this run is finished; --{unit} N --resume goes on with it"))
            emit(Skipped(str(folder.root)))
            return report_of(folder, before, task, None)
        examine(task.data, task.dropped, task.held, task.settings, task.schedule, task.source, emit)
        machine = machine_of(task, config.threads, before)
        if before is not None:
            compare_machines(before.machine, machine, emit)
        elif ranks.is_first:
            folder.state.unlink(missing_ok=True)  # a state without its run.json is of nobody knows which run
        record = RunRecord(task.settings.as_json(), task.facts, task.data.identities, machine)
        pairs = pairs_of(config, task.backbone, emit) if ranks.is_first else None
        judge = Judge(task.settings, pairs, task.held, task.start)
        with closing(task.data.readers), settled(task.device, machine["threads"]):
            return _run(folder, record, task, judge, config, emit)


def _preflight(config: TrainConfig, ranks: Ranks, emit: OnOutcome) -> dict[str, Any]:
    task = task_of(config, emit, ranks)
    found = examine(task.data, task.dropped, task.held, task.settings, task.schedule, task.source, emit)
    with closing(task.data.readers), settled(task.device, machine_of(task, config.threads, None)["threads"]):
        row = found.row | _measured(learner_of(task), task, _first_batch(task), emit)
    emit(Done(task.source, (row,)))
    return row


@contextmanager
def _owned(folder: RunFolder, ranks: Ranks) -> Iterator[None]:
    """Hold the run folder, which the first process does for all."""
    if not ranks.is_first:
        yield
        return
    place = folder.root.absolute()
    atomic.make_folder(place.parent)
    with atomic.lock(place):
        yield


def _run(
    folder: RunFolder, record: RunRecord, task: Task, judge: Judge, config: TrainConfig, emit: OnOutcome
) -> TrainReport:
    settings, data, schedule, ranks = task.settings, task.data, task.schedule, task.ranks
    learner = learner_of(task)
    progress = load_state(folder.state, learner) if ranks.told(folder.state.exists()) else TrainState()
    resumed_from = progress.step or None
    if resumed_from:
        if progress.step > schedule.steps:
            begun = f"{progress.step} steps, {progress.epoch - (progress.position == 0)} epochs, are done already"
            raise CosfaceError(begun, folder.root, "ask for as many")
        emit(Note(f"{folder.root}: going on after step {progress.step}, in epoch {progress.epoch}"))
        if ranks.count > 1:
            settle(learner, _first_batch(task))
    if ranks.is_first:
        atomic.make_folder(folder.state.parent)
        write_record(folder.record, record)
        for stale in (folder.stopped, folder.report, folder.noise):
            stale.unlink(missing_ok=True)

    metrics = _rows_so_far(folder, progress, schedule) if ranks.is_first else []
    if progress.step == 0:
        first = _first_batch(task)
        _measured(learner, task, first, emit)
        if task.start:
            begin_at_centres(learner, data)
        row = untrained_row(learner, first, schedule, settings)
        scored = ranks.told(judge.untrained(learner, emit) if ranks.is_first else UNSCORED)
        row |= scored.row
        if task.start:  # what no epoch may be worse than
            write_weights(folder, learner, settings, record, scored.threshold, task.start, kept=True)
            if scored.score is not None:
                progress.take(0, scored.score)
        metrics = [row]
        if ranks.is_first:
            write_rows(folder, metrics)
        emit(Note("before training: " + ", ".join(f"{name} {_short(value)}" for name, value in row.items())))

    saved_at = time.monotonic()

    def after_step() -> None:
        nonlocal saved_at
        emit(Progress(progress.step, schedule.steps))
        if ranks.decided(time.monotonic() - saved_at >= config.save_seconds) and learner.is_finite:
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
            scored = ranks.told(judge.epoch(learner, emit) if ranks.is_first else UNSCORED)
            row |= scored.row
            better = scored.score is not None and progress.take(row["epoch"], scored.score)
            kept = ranks.told(better or settings.keep == "last" or not folder.weights.exists())
            write_weights(folder, learner, settings, record, scored.threshold, task.start, kept)
            metrics.append(row)
            if ranks.is_first:
                write_rows(folder, metrics)
            save_state(folder.state, learner, progress)  # last: with it the epoch counts
            emit(Done(f"epoch {row['epoch']}", ({**row, "images_per_second": round(rate, 1), "wait": round(wait, 4)},)))
            if _is_patience_gone(progress, settings):
                break
            step, began, saved_at, waited = progress.step, time.monotonic(), time.monotonic(), data.readers.waited
    except NotFinite as error:
        if not ranks.is_first:
            raise StoppedElsewhere("the first process says why") from None
        raise stopped(folder, error, settings, progress.best_epoch) from None

    if _is_patience_gone(progress, settings):
        emit(Note(f"no better score for {settings.patience} epochs (--patience): stopped"))
    say_kept(progress, settings, task.start, emit)
    best_epoch = progress.best_epoch if settings.keep == "best" else None
    if ranks.is_first:
        record = finished(folder, record, task, learner, judge.pairs, metrics, best_epoch, config.report, emit)
    return report_of(folder, record, task, resumed_from)


def _first_batch(task: Task) -> Batch:
    """This process's part of the first batch."""
    parts = task.ranks.parts(task.data.batch_size, task.settings.accumulate)
    return next(task.data.batches(1, part=np.concatenate(parts)))


def _measured(learner: Learner, task: Task, batch: Batch, emit: OnOutcome) -> dict[str, Any]:
    """Measure a step of this process with its part of a batch, and say what the run will cost it."""
    cost = measure(learner, task.settings, batch)
    return say_costs(cost, task.settings, len(batch.labels), task.ranks.count, task.schedule.steps, emit)


def _rows_so_far(folder: RunFolder, progress: TrainState, schedule: Schedule) -> list[dict[str, Any]]:
    """The rows of epochs that the saved state knows of; the others are trained once more."""
    if progress.step == 0:
        return []
    whole = [row for row in read_metrics(folder.metrics) if row["epoch"] < progress.epoch]
    if progress.step < schedule.steps:
        return whole
    part = [row for row in read_metrics(folder.metrics) if row["epoch"] == progress.epoch]
    return whole + [row for row in part if row.get("step") == progress.step]


def _is_patience_gone(progress: TrainState, settings: Settings) -> bool:
    done = progress.epoch - (progress.position == 0)
    return bool(settings.patience) and done - (progress.best_epoch or 0) >= settings.patience


def _short(value: Any) -> str:
    return "none" if value is None else f"{value:.4g}"
