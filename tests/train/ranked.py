"""Trainings that a test runs in several processes, where the tiny backbones must be in the table too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cosface_cli.backbones import BACKBONES
from cosface_cli.outcomes import Tell, ignore
from cosface_cli.registry import Row
from cosface_cli.train import TrainConfig, stage
from cosface_cli.train.launch import spread
from cosface_cli.train.ranks import Ranks

Changes = dict[str, Any]


def several(config: TrainConfig, processes: int, runs: Sequence[Changes], tell: Tell = ignore) -> None:
    """Train each of the runs, which change the configuration, in so many processes: the same ones for all."""
    spread(Runs(tuple(runs)), replace(config, processes=processes), tell)


class Runs:
    """Trainings one after another."""

    def __init__(self, runs: tuple[Changes, ...]) -> None:
        self.runs = runs

    def __call__(self, config: TrainConfig, ranks: Ranks, tell: Tell) -> None:
        for name in ("tiny", "plain"):
            BACKBONES._rows[name] = Row(name, f"tests.train.tiny:{name.upper()}", "for tests")
        for changes in self.runs:
            stage._train(replace(config, **changes), ranks, tell)
