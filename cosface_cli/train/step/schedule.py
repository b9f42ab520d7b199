"""The learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cosface_cli.train.setup.settings import Settings

SCHEDULES = ("cosine", "step", "poly", "constant")
FOLLOW_THE_LENGTH = ("cosine", "poly")  # whose rates change where the run is given another length
_DROP = 0.1  # Wang 2018, section 4.1: divided by ten at each milestone
_POWER = 2  # of poly
_LONGEST_WARMUP = 200


class Schedule:
    """A linear rise over the first steps, then by name:

    cosine: lr (1 + cos(pi t)) / 2; poly: lr (1 - t)^2, with t from 0 to 1 over the steps that are left;
    step: a tenth after each milestone; constant: lr.

    lr: the highest rate; steps: optimizer steps in all; warmup: steps of the rise; milestones: steps after which the
    rate drops.
    """

    def __init__(self, name: str, lr: float, steps: int, warmup: int = 0, milestones: Sequence[int] = ()) -> None:
        self.name, self.lr, self.steps, self.warmup = name, lr, steps, warmup
        self.milestones = tuple(milestones)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.name == "step":
            return self.lr * _DROP ** sum(step >= milestone for milestone in self.milestones)
        if self.name == "constant":
            return self.lr
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.name == "poly":
            return self.lr * (1.0 - share) ** _POWER
        return self.lr * 0.5 * (1.0 + math.cos(math.pi * share))


def scheduled(settings: Settings, steps_per_epoch: int) -> Schedule:
    """The schedule of a run. The rise is by default the first epoch's, at most 200 steps: not a share of all steps,
    since a run that is given more epochs later must have risen alike."""
    unit = steps_per_epoch if settings.steps is None else 1
    steps = (settings.epochs or 0) * steps_per_epoch if settings.steps is None else settings.steps
    warmup = min(steps_per_epoch, _LONGEST_WARMUP) if settings.warmup is None else settings.warmup
    milestones = [milestone * unit for milestone in settings.milestones]
    return Schedule(settings.schedule, settings.lr, steps, warmup, milestones)
