"""One training step and the loop around it: network, optimizer, learning rate, precision.

A new optimizer or schedule is an entry in optimizers.py or decay.py, and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerChoice:
    """An entry of OPTIMIZERS."""

    build: Callable[..., torch.optim.Optimizer]
    """(parameter groups, lr=, fused=, and each of `defaults` by name) -> optimizer."""
    defaults: Mapping[str, object]
    """Default values of the settings that it takes; None for a setting that depends on others."""
    state_tensors: Callable[[float | None], int]
    """Momentum -> number of tensors that it keeps for each parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleChoice:
    """An entry of SCHEDULES: the learning rate after the warm-up, as a multiple of the highest one."""

    factor: Callable[[float], float] | None
    """Share 0..1 of the steps after the warm-up -> factor; None: a tenth after each milestone."""
    follows_length: bool
    """Whether the rates change if the run is continued to another length."""


OPTIMIZERS: Table[OptimizerChoice] = Table(
    "optimizer",
    Row("sgd", "cosface_cli.train.step.optimizers:SGD", "stochastic gradient descent with momentum, as in the paper"),
    Row("adamw", "cosface_cli.train.step.optimizers:ADAMW", "Adam with decoupled weight decay (Loshchilov 2019)"),
)
SCHEDULES: Table[ScheduleChoice] = Table(
    "schedule",
    Row("cosine", "cosface_cli.train.step.decay:COSINE", "half a cosine, down to 0"),
    Row("step", "cosface_cli.train.step.decay:STEP", "divided by ten after each milestone, as in the paper"),
    Row("poly", "cosface_cli.train.step.decay:POLY", "(1 - t)^2"),
    Row("constant", "cosface_cli.train.step.decay:CONSTANT", "the highest rate"),
)
