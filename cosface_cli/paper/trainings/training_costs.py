"""The time that the trainings of a figure take, estimated before they start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cosface_cli.artifacts.run.run_record import RunFolder, read_record
from cosface_cli.outcomes import Done, Note, OnOutcome, Outcome
from cosface_cli.paper import PaperReport, TrainingConfig
from cosface_cli.paper.trainings.planned_training import (
    PlannedTraining,
    in_order,
    run_folder,
    train_config,
    without_start,
)
from cosface_cli.train import stage


def cost_report(
    name: str, plans: Sequence[PlannedTraining], config: TrainingConfig, seeds: Sequence[int], emit: OnOutcome
) -> PaperReport:
    """A row for each training: its time on this device, estimated from a timed step; 0 minutes if it is finished."""
    rows = []
    for plan, seed in in_order(plans, seeds):
        rows.append(_cost(plan, config, seed, emit))
        emit(Done(rows[-1]["run"]))
    return PaperReport(name=name, rows=tuple(rows))


def _cost(plan: PlannedTraining, config: TrainingConfig, seed: int, emit: OnOutcome) -> dict[str, Any]:
    folder = RunFolder(run_folder(plan, seed, config.out))
    record = read_record(folder.record)
    finished = record is not None and record.finished
    estimate = stage.preflight(train_config(without_start(plan), config, seed), _warnings_of(folder.root.name, emit))
    return {
        "run": folder.root.name,
        "identities": estimate["identities"],
        "images": estimate["images"],
        "steps": estimate["steps"],
        "images_per_second": round(estimate["images_per_second"], 1),
        "minutes": 0.0 if finished else round(estimate["seconds"] / 60, 1),
        "finished": finished,
    }


def _warnings_of(name: str, emit: OnOutcome) -> OnOutcome:
    def on_outcome(outcome: Outcome) -> None:
        if isinstance(outcome, Note) and outcome.text.startswith("warning"):
            emit(Note(f"{name}: {outcome.text}"))

    return on_outcome
