"""The entries of SCHEDULES: how the learning rate falls after the warm-up."""

from __future__ import annotations

import math

from cosface_cli.train.step import ScheduleChoice

COSINE = ScheduleChoice(factor=lambda t: 0.5 * (1.0 + math.cos(math.pi * t)), follows_length=True)
POLY = ScheduleChoice(factor=lambda t: (1.0 - t) ** 2, follows_length=True)
STEP = ScheduleChoice(factor=None, follows_length=False)
CONSTANT = ScheduleChoice(factor=lambda t: 1.0, follows_length=False)
