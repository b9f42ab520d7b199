"""Freezing the first layers of a network that was trained before."""

from __future__ import annotations

from torch import nn


def freeze(network: nn.Module, share: float) -> tuple[nn.Module, ...]:
    """Freeze a share (0..1) of the convolutions and linear layers, from the input on, and all modules before the first
    trained one, such as batch norms. Returns the frozen modules, which stay in evaluation mode."""
    leaves = [module for module in network.modules() if not list(module.children())]
    weighted = [module for module in leaves if isinstance(module, (nn.Conv2d, nn.Linear))]
    count = int(share * len(weighted))
    if not count:
        return ()
    frozen = tuple(leaves[: leaves.index(weighted[count])])
    for module in frozen:
        module.requires_grad_(False)
    return frozen
