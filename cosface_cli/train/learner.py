"""What learns: a network, its classifier head and their optimizer, on a device."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.inputs import network_input
from cosface_cli.backbones.loading import build, put
from cosface_cli.errors import CosfaceError
from cosface_cli.losses import Loss, loading
from cosface_cli.train.average import Average
from cosface_cli.train.freezing import freeze
from cosface_cli.train.optimizer import optimizer_of
from cosface_cli.train.precision import autocast_type, scaler_of
from cosface_cli.train.settings import Settings


@dataclass(slots=True, eq=False)
class Learner:
    """network: (B, 3, H, W) -> (B, D); head: the loss with its class weights (C, D), itself a module; compute: the
    network as it is run in training; dtype: that it is computed in, None for float32; frozen: its modules that do not
    learn; average: of its weights, where one is kept; shown: the network that is scored and saved."""

    network: nn.Module
    head: Loss
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    backbone: Backbone
    device: torch.device
    compute: Callable[[Tensor], Tensor]
    dtype: torch.dtype | None
    memory_format: torch.memory_format
    frozen: tuple[nn.Module, ...]
    average: Average | None
    shown: nn.Module

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All modules by name."""
        assert isinstance(self.head, nn.Module)
        average = {"average": self.average.network} if self.average else {}
        return {"network": self.network, "head": self.head, **average}

    @property
    def is_finite(self) -> bool:
        """Whether every parameter and buffer is a number."""
        tensors = (tensor for module in self.modules.values() for tensor in module.state_dict().values())
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def train(self) -> None:
        """Bring the network and the head into training, but for what is frozen."""
        self.network.train()
        self.modules["head"].train()
        for module in self.frozen:
            module.eval()

    def inputs(self, images: NDArray[np.uint8]) -> Tensor:
        """RGB crops (N, H, W, 3) as the network sees them, (N, 3, H, W) on its device."""
        pixels = torch.from_numpy(network_input(images, self.backbone.mean, self.backbone.std))
        return pixels.to(self.device, memory_format=self.memory_format, copy=True)

    def forward(self, images: NDArray[np.uint8]) -> Tensor:
        """The embeddings (N, D) float32 of crops (N, H, W, 3) in training."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            embeddings = self.compute(self.inputs(images))
        return embeddings.float()

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The shown network's output (N, D) in evaluation and float32, not normalised, for RGB crops (N, H, W, 3)."""
        self.shown.eval()
        with torch.no_grad():
            out: NDArray[np.float32] = self.shown(self.inputs(images)).float().cpu().numpy()
        self.train()
        return out

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Undo afterwards what a forward or backward pass leaves behind: statistics, counters, gradients."""
        buffers = [buffer for module in (self.network, self.modules["head"]) for buffer in module.buffers()]
        before = [buffer.clone() for buffer in buffers]
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in zip(buffers, before, strict=True):
                    buffer.copy_(value)
            self.optimizer.zero_grad(set_to_none=True)


def new_learner(
    settings: Settings,
    backbone: Backbone,
    identities: int,
    device: torch.device,
    start: Mapping[str, NDArray[Any]] | None = None,
) -> Learner:
    """A learner with first weights drawn from the seed, those of the network from a start if there is one."""
    if settings.compile:
        _check_compiler(device)
    order = torch.channels_last if settings.channels_last else torch.contiguous_format
    network = build(settings.backbone, settings.embedding_size, settings.seed)
    if start is not None:
        put(network, start, f"these weights do not fit the backbone {settings.backbone!r}")
    network.to(device).to(memory_format=order)  # type: ignore[call-overload]
    head: Any = loading.build(settings.loss, settings.embedding_size, identities, settings.head, settings.seed + 1).to(
        device
    )
    frozen = freeze(network, settings.freeze)
    average = Average(network, settings.ema) if settings.ema else None
    learner = Learner(
        network=network,
        head=head,
        optimizer=optimizer_of(settings, network, head),
        scaler=scaler_of(settings.precision, device),
        backbone=backbone,
        device=device,
        compute=torch.compile(network) if settings.compile else network,
        dtype=autocast_type(settings.precision),
        memory_format=order,
        frozen=frozen,
        average=average,
        shown=average.network if average else network,
    )
    learner.train()
    return learner


def _check_compiler(device: torch.device) -> None:
    """Raises CosfaceError where torch.compile has nothing to compile with."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise CosfaceError("--compile needs the package triton", mend="pip install triton, or leave out --compile")
    elif not any(map(shutil.which, filter(None, (os.environ.get("CXX"), "c++", "g++", "clang++")))):
        raise CosfaceError("--compile needs a C++ compiler, and there is none", mend="leave out --compile")
