"""Run the trainings of a figure. Each has a run folder; an unfinished run is resumed, and a finished run stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.run.run_record import RunFolder, read_metrics, read_record
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, Note, OnOutcome, Outcome, Progress, Rejected, Skipped
from cosface_cli.paper import TrainingConfig
from cosface_cli.paper.trainings.planned_training import (
    PlannedTraining,
    in_order,
    run_folder,
    step_count,
    train_config,
)
from cosface_cli.train import stage


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedNetwork:
    """The result of one training with one seed."""

    plan: PlannedTraining
    seed: int
    folder: Path
    """Its run folder."""
    settings: Mapping[str, Any]
    """As in run.json."""
    identities: int
    images: int
    steps: int
    accuracy: float | None
    """On the training crops in the last epoch, 0..1; None for a loss that does not classify."""
    model_id: str | None
    stopped: str | None = None
    """Why it has no weights; None if it has."""

    @property
    def record(self) -> dict[str, object]:
        """Its entry in the figure's JSON."""
        return {
            "run": str(self.folder),
            "seed": self.seed,
            "model_id": self.model_id,
            "steps": self.steps,
            "settings": dict(self.settings),
            "stopped": self.stopped,
        }


def train_all(
    plans: Sequence[PlannedTraining], config: TrainingConfig, seeds: Sequence[int], emit: OnOutcome
) -> Iterator[TrainedNetwork]:
    """Run each training with each seed, unless it is finished already. Raises CosfaceError as the train stage does.

    A training whose loss became infinite or not a number is Rejected and is among the results; so is a training that
    would start from its weights. All trainings are checked before the first one starts.
    """
    order = in_order(plans, seeds)
    for plan, _ in in_order(plans, [0]):
        step_count(config, plan)
    done: dict[tuple[str, int], TrainedNetwork] = {}
    for number, (plan, seed) in enumerate(order):
        start = done[plan.after.name, seed] if plan.after else None
        if start is not None and start.stopped:
            network = _skipped_without_start(plan, start, config.out, emit)
        else:
            network = _train(plan, config, seed, _overall_progress(emit, number, len(order)))
        done[plan.name, seed] = network
        yield network


def _train(plan: PlannedTraining, config: TrainingConfig, seed: int, emit: OnOutcome) -> TrainedNetwork:
    folder = RunFolder(run_folder(plan, seed, config.out))
    name = folder.root.name
    record_before, stopped_before = read_record(folder.record), _mtime_ns(folder.stopped)
    stopped = None
    try:
        report = stage.train(train_config(plan, config, seed), _under_name(name, emit))
        is_same = record_before is not None and record_before.finished and record_before.model_id == report.model_id
        emit(Skipped(name) if is_same else Done(name))
    except CosfaceError as error:
        if _mtime_ns(folder.stopped) in (None, stopped_before):  # the training did not diverge: another error
            if "--resume" in (error.hint or ""):  # the run has another length than the figure's other runs
                raise CosfaceError(error.problem, error.path, "choose another --out") from None
            raise
        stopped = error.problem
        emit(Rejected(name, "stopped", str(error)))
    record = read_record(folder.record)
    assert record is not None  # written before the first step
    metrics = read_metrics(folder.metrics)
    last_epoch = metrics[-1] if metrics else {}
    return TrainedNetwork(
        plan=plan,
        seed=seed,
        folder=folder.root,
        settings=record.settings,
        identities=len(record.identities),
        images=int(record.data["crops"]),
        steps=int(last_epoch.get("step", 0)),
        accuracy=last_epoch.get("accuracy"),
        model_id=record.model_id,
        stopped=stopped,
    )


def _skipped_without_start(plan: PlannedTraining, start: TrainedNetwork, out: Path, emit: OnOutcome) -> TrainedNetwork:
    folder = run_folder(plan, start.seed, out)
    words = f"{start.folder.name}, which it starts from, was stopped"
    emit(Rejected(folder.name, "stopped", words))
    return replace(start, plan=plan, folder=folder, settings={}, steps=0, accuracy=None, stopped=words)


def _under_name(name: str, emit: OnOutcome) -> OnOutcome:
    """A callback for the train stage, whose run is one input of the figure. It adds the run's name to notes, and passes
    progress on.

    Notes are delayed until a step was done, so that a finished run emits none.
    """
    waiting: list[Note] = []

    def on_outcome(outcome: Outcome) -> None:
        match outcome:
            case Note(text=text):
                waiting.append(Note(f"{name}: {text}"))
                return
            case Skipped():
                waiting.clear()
        while waiting:
            emit(waiting.pop(0))
        match outcome:
            case Progress():
                emit(outcome)
            case Done(rows=(row,)):
                numbers = ", ".join(f"{key} {row[key]:.4g}" for key in ("loss", "accuracy") if row.get(key) is not None)
                emit(Note(f"{name}: epoch {row['epoch']}, {numbers}"))

    return on_outcome


def _overall_progress(emit: OnOutcome, number: int, count: int) -> OnOutcome:
    """A callback that converts the progress of run `number` to the progress of all runs, in thousandths of a run."""

    def on_outcome(outcome: Outcome) -> None:
        if isinstance(outcome, Progress):
            outcome = Progress(1000 * number + 1000 * outcome.done // outcome.total, 1000 * count)
        emit(outcome)

    return on_outcome


def _mtime_ns(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
