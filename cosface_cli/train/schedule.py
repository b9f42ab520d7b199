"""The learning rate of each step."""

from __future__ import annotations

import math
from collections.abc import Sequence

SCHEDULES = ("cosine", "step")
_DROP = 0.1  # Wang 2018, section 4.1: divided by ten at each milestone
_LONGEST_WARMUP = 200


class Schedule:
    """A linear rise over the first steps, then a cosine down to zero, or a drop to a tenth after each milestone.

    lr: the highest rate; steps_per_epoch: optimizer steps; epochs: in all; warmup: steps of the rise, None for the
    first epoch's, at most 200; milestones: epochs after which the rate drops, counted from 1, for "step".
    """

    def __init__(
        self,
        name: str,
        lr: float,
        steps_per_epoch: int,
        epochs: int,
        warmup: int | None = None,
        milestones: Sequence[int] = (),
    ) -> None:
        self.name, self.lr = name, lr
        self.steps_per_epoch = steps_per_epoch
        self.steps = steps_per_epoch * epochs
        self.milestones = tuple(milestones)
        # not a share of all steps: a run that is given more epochs later must have risen alike
        self.warmup = min(steps_per_epoch, _LONGEST_WARMUP) if warmup is None else warmup

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.name == "step":
            epochs_done = step // self.steps_per_epoch
            return self.lr * _DROP ** sum(epochs_done >= milestone for milestone in self.milestones)
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * 0.5 * (1.0 + math.cos(math.pi * share))
