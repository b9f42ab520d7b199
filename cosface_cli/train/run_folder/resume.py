"""Resuming a run: whether a run folder is empty, has this run, or another one; and the state to resume from."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch

from cosface_cli import __version__
from cosface_cli.artifacts.run.run_record import RunFolder, RunRecord, read_record
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train.job import TrainingJob, first_batch
from cosface_cli.train.run_folder.checkpoint import load_state
from cosface_cli.train.setup.device import threads_for
from cosface_cli.train.setup.settings import Settings, differences
from cosface_cli.train.step import SCHEDULES
from cosface_cli.train.step.discarded_pass import warm_up_ddp
from cosface_cli.train.step.learner import Learner
from cosface_cli.train.step.loop import TrainState

_JSON_WORDS = {"head": "s, m and the loss's options"}
_LENGTHS = ("epochs", "steps")


def previous_run(folder: RunFolder, job: TrainingJob, resume: bool, emit: OnOutcome) -> RunRecord | None:
    """The run in the folder, if it has the settings of the job; None if there is no run yet.

    resume: whether its length may differ. Raises CosfaceError naming what differs.
    """
    root, settings = folder.root, job.settings.as_json()
    record = read_record(folder.record)
    if record is None:
        _require_empty(folder, resume)
        return None
    different = differences(record.settings, settings)
    lengths = {name: different.pop(name) for name in _LENGTHS if name in different and settings[name] is not None}
    follows_length = SCHEDULES.load(job.settings.schedule).follows_length
    if lengths and "milestones" in different and "schedule" not in different:  # a recipe's are at shares of the length
        del different["milestones"]
        follows_length = True
    if different:
        words = "; ".join(
            f"{_JSON_WORDS.get(name, name.replace('_', '-'))}: {text}" for name, text in different.items()
        )
        raise CosfaceError(f"this folder has another run ({words})", root, "choose another --out")
    if record.data.get("fingerprint") != job.facts["fingerprint"]:
        raise CosfaceError(
            f"this run was on other crops ({record.data.get('crops')} of {record.data.get('folder')}, "
            f"asked for {job.facts['crops']} of {job.facts['folder']})",
            root,
            "choose another --out",
        )
    for name, text in lengths.items():
        if not resume:
            hint = "add --resume to continue it, or choose another --out"
            raise CosfaceError(f"this run is of other {name} ({text})", root, hint)
        if follows_length:
            emit(Note(f"the learning rate follows the new plan of {settings[name]} {name} from here on"))
    if lengths and record.finished and not folder.state.is_file():
        raise CosfaceError("the state to resume from is missing", folder.state, "choose another --out to begin again")
    return record


def is_finished(folder: RunFolder, record: RunRecord, settings: Settings, report: bool) -> bool:
    """Whether the run ended at that length and all its files exist, with `report` also those of the report."""
    files = [folder.weights, folder.head, folder.onnx, folder.metrics]
    files += [folder.last] if settings.is_scored else []
    files += [folder.noise, folder.report] if report else []
    is_same_length = all(record.settings[name] == settings.as_json()[name] for name in _LENGTHS)
    return record.finished and is_same_length and all(file.is_file() for file in files)


def machine_of(job: TrainingJob, threads: int | None, previous: RunRecord | None) -> dict[str, Any]:
    """The properties of the machine on which the last bits of the weights depend. threads: the value of --threads; if
    None, a resumed run keeps its number, if the number of processes is the same."""
    ranks = job.ranks
    recorded = None
    if previous is not None and previous.machine.get("processes", 1) == ranks.world_size:
        recorded = previous.machine.get("threads")
    return {
        "device": job.device.type,
        "processes": ranks.world_size,
        "threads": int(threads or recorded or threads_for(ranks.local_world_size)),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cosface": __version__,
    }


def compare_machines(before: Mapping[str, object], now: Mapping[str, object], emit: OnOutcome) -> None:
    """Emit a warning if the machine differs from the one on which the run began."""
    different = differences(before, now)
    if different:
        words = "; ".join(f"{name} {text.replace('asked for', 'now')}" for name, text in different.items())
        emit(Note(f"warning: the run began on another machine ({words}): the same to rounding, not to the bit"))


def resumed_state(folder: RunFolder, job: TrainingJob, learner: Learner, emit: OnOutcome) -> TrainState:
    """The saved state, loaded into the learner; a new state if none was saved. Raises CosfaceError if the run already
    has more steps than the job."""
    if not job.ranks.broadcast_bool(folder.state.exists()):
        return TrainState()
    state = load_state(folder.state, learner)
    if state.step == 0:
        return state
    if state.step > job.schedule.steps:
        done = f"{state.step} steps, {state.epochs_done} epochs, are already done"
        raise CosfaceError(done, folder.root, "give as many or more")
    emit(Note(f"{folder.root}: resuming after step {state.step}, in epoch {state.epoch}"))
    if job.ranks.world_size > 1:
        warm_up_ddp(learner, first_batch(job))
    return state


def _require_empty(folder: RunFolder, resume: bool) -> None:
    """Raises CosfaceError for a folder without a run, if it has other files or if `resume` needs a run."""
    root = folder.root
    if resume:
        raise CosfaceError("no run to continue", root, "leave out --resume to begin one, or name its --out")
    # a run that was killed immediately leaves state/ and temporary files
    if root.is_dir() and any(path.name != "state" and not path.name.startswith(".") for path in root.iterdir()):
        raise CosfaceError("this folder has other files", root, "choose another --out")
