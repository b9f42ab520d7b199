"""What the trainings behind a figure cost, before they are begun."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.run.run_record import RunFolder, read_record
from cosface_cli.outcomes import Done, Note, OnOutcome, Outcome
from cosface_cli.paper import Training
from cosface_cli.paper.runs import Run, config_of, folder_of, in_turn
from cosface_cli.train import stage


def costs(
    runs: Sequence[Run], training: Training, seeds: Sequence[int], out: Path, emit: OnOutcome
) -> Iterator[dict[str, Any]]:
    """A row for each run: how long it takes on this device, by a few timed steps; 0 minutes where it is finished."""
    for run, seed in in_turn(runs, seeds):
        folder = RunFolder(folder_of(run, seed, out))
        record = read_record(folder.record)
        finished = record is not None and record.finished
        config = config_of(replace(run, after=None), training, seed, out)  # its start may not be there yet
        found = stage.preflight(config, _warnings(folder.root.name, emit))
        emit(Done(folder.root.name))
        yield {
            "run": folder.root.name,
            "identities": found["identities"],
            "images": found["images"],
            "steps": found["steps"],
            "images_per_second": round(found["images_per_second"], 1),
            "minutes": 0.0 if finished else round(found["seconds"] / 60, 1),
            "finished": finished,
        }


def _warnings(name: str, emit: OnOutcome) -> OnOutcome:
    def passed(outcome: Outcome) -> None:
        if isinstance(outcome, Note) and outcome.text.startswith("warning"):
            emit(Note(f"{name}: {outcome.text}"))

    return passed
