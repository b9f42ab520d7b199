"""Which layers of a network that was trained before stay as they are."""

from __future__ import annotations

from torch import nn


def freeze(network: nn.Module, share: float) -> tuple[nn.Module, ...]:
    """Keep that share (0..1) of the convolutions and linear layers, from the input on, and all that lies before the
    first one that learns: batch norms, activations. Gives those modules: they stay in evaluation."""
    leaves = [module for module in network.modules() if not list(module.children())]
    weighted = [module for module in leaves if isinstance(module, (nn.Conv2d, nn.Linear))]
    kept = int(share * len(weighted))
    if not kept:
        return ()
    frozen = tuple(leaves[: leaves.index(weighted[kept])])
    for module in frozen:
        module.requires_grad_(False)
    return frozen
