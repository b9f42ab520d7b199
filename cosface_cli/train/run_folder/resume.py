"""Whether a run folder is free, or holds the run that was asked for, or another one."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import torch

from cosface_cli import __version__
from cosface_cli.artifacts.run.run_record import RunFolder, RunRecord, read_record
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train.job import Task
from cosface_cli.train.setup.device import threads_for
from cosface_cli.train.setup.settings import Settings, differences
from cosface_cli.train.step.schedule import FOLLOW_THE_LENGTH

_FLAGS = {"head": "s, m and the loss's options"}
_LENGTHS = ("epochs", "steps")


def standing(
    folder: RunFolder, settings: Settings, data: Mapping[str, Any], resume: bool, emit: OnOutcome
) -> RunRecord | None:
    """The run in the folder, if it is the one that was asked for; None where there is none yet.

    resume: it may have been of another length. Raises CosfaceError naming what differs.
    """
    root = folder.root
    record = read_record(folder.record)
    if record is None:
        if resume:
            raise CosfaceError("no run to go on with", root, "leave out --resume to begin one, or name its --out")
        # state/ and half-written files are what a run that was killed at once leaves
        if root.is_dir() and any(p.name != "state" and not p.name.startswith(".") for p in root.iterdir()):
            raise CosfaceError("this folder holds something else", root, "choose another --out")
        return None
    parted = differences(record.settings, settings.as_json())
    longer = {name: parted.pop(name) for name in _LENGTHS if name in parted and settings.as_json()[name] is not None}
    follows = settings.schedule in FOLLOW_THE_LENGTH
    if longer and "milestones" in parted and "schedule" not in parted:  # a recipe's move with the length
        del parted["milestones"]
        follows = True
    if parted:
        words = "; ".join(f"{_FLAGS.get(name, name.replace('_', '-'))}: {text}" for name, text in parted.items())
        raise CosfaceError(f"another run is here ({words})", root, "choose another --out")
    if record.data.get("fingerprint") != data["fingerprint"]:
        raise CosfaceError(
            f"this run was on other crops ({record.data.get('crops')} of {record.data.get('folder')}, "
            f"asked for {data['crops']} of {data['folder']})",
            root,
            "choose another --out",
        )
    for name, text in longer.items():
        if not resume:
            hint = "add --resume to go on with it, or choose another --out"
            raise CosfaceError(f"this run is of other {name} ({text})", root, hint)
        if follows:
            length = settings.as_json()[name]
            emit(Note(f"the learning rate follows the new plan of {length} {name} from here on"))
    if longer and record.finished and not folder.state.is_file():
        raise CosfaceError("the state to go on from is missing", folder.state, "choose another --out to begin anew")
    return record


def is_finished(folder: RunFolder, record: RunRecord, settings: Settings, report: bool) -> bool:
    """Whether the run ended at that length, and all its files are there; those of a report where it is wanted."""
    files = [folder.weights, folder.head, folder.onnx, folder.metrics, *([folder.last] if settings.is_scored else [])]
    files += [folder.noise, folder.report] if report else []
    same_length = all(record.settings[name] == settings.as_json()[name] for name in _LENGTHS)
    return record.finished and same_length and all(file.is_file() for file in files)


def machine_of(task: Task, threads: int | None, before: RunRecord | None) -> dict[str, Any]:
    """What the last bits of the weights hang on. threads: that were asked for; else a run that goes on keeps its own,
    unless it is shared by other processes now."""
    ranks = task.ranks
    as_before = before is not None and before.machine.get("processes", 1) == ranks.count
    recorded = before.machine.get("threads") if before is not None and as_before else None
    return {
        "device": task.device.type,
        "processes": ranks.count,
        "threads": int(threads or recorded or threads_for(ranks.on_machine)),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cosface": __version__,
    }


def compare_machines(was: Mapping[str, Any], now: Mapping[str, Any], emit: OnOutcome) -> None:
    """Say where the machine differs from the one that the run began on: the weights may then differ in last bits."""
    parted = differences(was, now)
    if parted:
        words = "; ".join(f"{name} {text.replace('asked for', 'now')}" for name, text in parted.items())
        emit(Note(f"warning: the run began on another machine ({words}): the same to rounding, not to the bit"))
