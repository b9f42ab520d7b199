"""What turns gradients into steps: SGD or AdamW, with a rate of its own for the class weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cosface_cli.train.setup.settings import Settings

OPTIMIZERS = ("sgd", "adamw")


def optimizer_of(settings: Settings, network: nn.Module, head: nn.Module) -> torch.optim.Optimizer:
    """The optimizer over the network's parameters that learn and all of the head's.

    Weight decay is on every parameter, as in the paper (Wang 2018, section 4.1).
    """
    import torch

    groups: list[dict[str, Any]] = []
    for module, times in ((network, 1.0), (head, settings.head_lr)):
        learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if learning:  # triplet and contrastive heads may have none
            groups.append({"params": learning, "lr": settings.lr * times, "times": times})
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        groups,
        lr=settings.lr,
        momentum=settings.momentum or 0.0,
        nesterov=bool(settings.nesterov),
        weight_decay=settings.weight_decay,
        # in one pass; but where the first step of fp16 overflows, torch leaves its momentum as memory happened to be
        fused=settings.precision != "fp16",
    )


def set_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of each group: lr, times what is the group's own."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["times"]


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """All that the optimizer moves."""
    groups: Iterable[Any] = optimizer.param_groups
    return [parameter for group in groups for parameter in group["params"]]
