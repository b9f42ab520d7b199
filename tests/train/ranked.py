"""Work that a test does in several processes, where the tiny backbones must be in the table too."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from cosface_cli.artifacts.files import atomic
from cosface_cli.outcomes import OnOutcome
from cosface_cli.train import TrainConfig, stage
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.run_folder import finish
from tests.train.tiny import added_backbones

Changes = dict[str, Any]
_PATIENCE = 280.0  # seconds, below a test's time limit


def once(name: str, make: Callable[[Path], Any], factory: pytest.TempPathFactory, worker_id: str) -> Any:
    """What make gives for a new folder, done by one of pytest's workers for all of them."""
    base = factory.getbasetemp() if worker_id == "master" else factory.getbasetemp().parent
    folder, result = base / name, base / f"{name}.pickle"
    with atomic.lock(folder, _PATIENCE):
        if not result.exists():
            folder.mkdir()
            made = make(folder)
            result.write_bytes(pickle.dumps(made))
        return pickle.loads(result.read_bytes())


class Runs:
    """Trainings one after another, which each change the configuration; then other work, whose result it is."""

    def __init__(self, runs: Sequence[Changes], then: Callable[[Ranks], Any] | None = None) -> None:
        self.runs, self.then = tuple(runs), then

    def __call__(self, config: TrainConfig, ranks: Ranks, emit: OnOutcome) -> Any:
        with (
            added_backbones("tiny", "plain"),
            mock.patch.object(finish, "to_onnx", return_value=b"takes long, and is tested elsewhere"),
        ):
            for changes in self.runs:
                stage.train_in_process(replace(config, processes=None, **changes), ranks, emit)
        return self.then(ranks) if self.then else None
