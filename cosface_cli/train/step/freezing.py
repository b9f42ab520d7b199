"""Layers of a network that was trained before, which are not trained further."""

from __future__ import annotations

from torch import nn


def freeze(network: nn.Module, share: float) -> tuple[nn.Module, ...]:
    """Freeze that share (0..1) of the convolutions and linear layers, from the input on, and everything before the
    first trained one: batch norms, activations. Returns the frozen modules: they stay in evaluation mode."""
    leaves = [module for module in network.modules() if not list(module.children())]
    weighted = [module for module in leaves if isinstance(module, (nn.Conv2d, nn.Linear))]
    count = int(share * len(weighted))
    if not count:
        return ()
    frozen = tuple(leaves[: leaves.index(weighted[count])])
    for module in frozen:
        module.requires_grad_(False)
    return frozen
