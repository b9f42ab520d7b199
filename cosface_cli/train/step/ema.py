"""An exponential moving average of the network's weights (EMA), which is scored and saved in their place."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """average <- d average + (1 - d) weights after each step, over parameters and batch norm's statistics alike.

    d: the decay, or (1 + t) / (10 + t) at step t if that is less, so that the first weights lose their influence.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Include the weights after a step, counted from 1."""
        share = 1.0 - min(self.decay, (1 + step) / (10 + step))
        current = network.state_dict()
        for name, mean in self.network.state_dict().items():
            if mean.is_floating_point():
                mean.lerp_(current[name], share)
            else:  # batch norm's count of batches
                mean.copy_(current[name])
