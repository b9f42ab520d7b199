"""The entries of OPTIMIZERS."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from cosface_cli.train.step import OptimizerChoice


def _sgd(groups: ParamsT, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, **settings)


def _adamw(groups: ParamsT, fused: bool, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, **settings)


SGD = OptimizerChoice(
    build=_sgd,
    defaults={"lr": 0.1, "weight_decay": 5e-4, "momentum": 0.9, "nesterov": None},
    state_tensors=lambda momentum: 1 if momentum else 0,
)
ADAMW = OptimizerChoice(
    build=_adamw,
    defaults={"lr": 1e-3, "weight_decay": 0.05},
    state_tensors=lambda momentum: 2,
)
