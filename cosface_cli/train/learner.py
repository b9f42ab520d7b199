"""What learns: a network, its classifier head and their optimizer, on a device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.inputs import network_input
from cosface_cli.backbones.loading import build
from cosface_cli.losses import LOSSES, Loss
from cosface_cli.train.settings import Settings

_MOMENTUM = 0.9


@dataclass(slots=True, eq=False)
class Learner:
    """network: (B, 3, H, W) -> (B, D); head: the loss with its class weights (C, D), itself a module."""

    network: nn.Module
    head: Loss
    optimizer: torch.optim.SGD
    backbone: Backbone
    device: torch.device

    @property
    def modules(self) -> dict[str, nn.Module]:
        """Both modules by name."""
        assert isinstance(self.head, nn.Module)
        return {"network": self.network, "head": self.head}

    @property
    def is_finite(self) -> bool:
        """Whether every parameter and buffer is a number."""
        tensors = (tensor for module in self.modules.values() for tensor in module.state_dict().values())
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def inputs(self, images: NDArray[np.uint8]) -> Tensor:
        """RGB crops (N, H, W, 3) as the network sees them, (N, 3, H, W) on its device."""
        pixels = torch.from_numpy(network_input(images, self.backbone.mean, self.backbone.std))
        return pixels.to(self.device, memory_format=_memory_format(self.device), copy=True)

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's output (N, D) in evaluation, not normalised, for RGB crops (N, H, W, 3)."""
        self.network.eval()
        with torch.no_grad():
            out: NDArray[np.float32] = self.network(self.inputs(images)).float().cpu().numpy()
        self.network.train()
        return out


def new_learner(settings: Settings, backbone: Backbone, identities: int, device: torch.device) -> Learner:
    """A learner with first weights drawn from the seed; SGD with Nesterov momentum 0.9.

    Weight decay is on every parameter, as in the paper (Wang 2018, section 4.1).
    """
    network = build(settings.backbone, settings.embedding_size, settings.seed)
    network.to(device).to(memory_format=_memory_format(device))  # type: ignore[call-overload]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed + 1)
        head = LOSSES.load(settings.loss)(settings.embedding_size, identities, **settings.head).to(device)
    optimizer = torch.optim.SGD(
        [*network.parameters(), *head.parameters()],
        lr=settings.lr,
        momentum=_MOMENTUM,
        nesterov=True,
        weight_decay=settings.weight_decay,
    )
    return Learner(network.train(), head, optimizer, backbone, device)


def _memory_format(device: torch.device) -> torch.memory_format:
    """Channels last where it is faster: 1.4 times on a CPU."""
    return torch.contiguous_format if device.type == "mps" else torch.channels_last
