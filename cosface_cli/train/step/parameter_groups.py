"""One optimizer for the parameters of the network and the class weights, which have different learning rates."""

from __future__ import annotations

import torch
from torch import nn

from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step import OPTIMIZERS


def optimizer_of(settings: Settings, network: nn.Module, head: nn.Module) -> torch.optim.Optimizer:
    """The optimizer over the network's parameters that are not frozen and all of the head's.

    Weight decay is on every parameter, as in the paper (Wang 2018, section 4.1).
    """
    groups: list[dict[str, object]] = []
    for module, multiple in ((network, 1.0), (head, settings.head_lr)):
        parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        if parameters:  # triplet and contrastive heads may have none
            groups.append({"params": parameters, "lr": settings.lr * multiple, "lr_multiple": multiple})
    choice = OPTIMIZERS.load(settings.optimizer)
    return choice.build(
        groups,
        # one pass over the parameters; not for fp16: if its first step overflows, torch leaves the momentum unset
        fused=settings.precision != "fp16",
        **{name: getattr(settings, name) for name in choice.defaults},
    )


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of each group: lr times the group's multiple."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_multiple"]


def parameters_of(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """All parameters that the optimizer updates."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
