"""The learning rate of each step."""

from __future__ import annotations

from dataclasses import dataclass

from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step import SCHEDULES

_DROP = 0.1  # Wang 2018, section 4.1: divided by ten at each milestone
_LONGEST_WARMUP = 200  # steps


@dataclass(frozen=True, slots=True)
class Schedule:
    """A linear warm-up, then by name:

    cosine: lr (1 + cos(pi t)) / 2; poly: lr (1 - t)^2, with t from 0 to 1 over the remaining steps;
    step: a tenth after each milestone; constant: lr.
    """

    name: str
    lr: float
    """The highest rate."""
    steps: int
    """Optimizer steps in all."""
    warmup: int = 0
    """Steps of the warm-up."""
    milestones: tuple[int, ...] = ()
    """Steps after which the rate drops."""

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        factor = SCHEDULES.load(self.name).factor
        if factor is None:
            return self.lr * _DROP ** sum(step >= milestone for milestone in self.milestones)
        return self.lr * factor((step - self.warmup) / max(1, self.steps - self.warmup))


def schedule_of(settings: Settings, steps_per_epoch: int) -> Schedule:
    """The schedule of a run. The default warm-up is the first epoch, at most 200 steps. It is not a share of all steps,
    because a run that is continued to more epochs must have had the same warm-up."""
    by_steps = settings.steps is not None
    unit = 1 if by_steps else steps_per_epoch
    return Schedule(
        name=settings.schedule,
        lr=settings.lr,
        steps=(settings.steps or settings.epochs or 0) * unit,
        warmup=min(steps_per_epoch, _LONGEST_WARMUP) if settings.warmup is None else settings.warmup,
        milestones=tuple(milestone * unit for milestone in settings.milestones),
    )
