"""The learner: a network and its class head, with their optimizer, on a device."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.build_backbone import build, put
from cosface_cli.backbones.inputs import network_tensor
from cosface_cli.engines.runtime.devices import autocast_type
from cosface_cli.errors import CosfaceError
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.distributed.gradients import distributed_network
from cosface_cli.train.heads import ClassHead
from cosface_cli.train.heads.build import build_head
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.ema import WeightAverage
from cosface_cli.train.step.freezing import freeze
from cosface_cli.train.step.parameter_groups import optimizer_of, parameters_of
from cosface_cli.train.step.precision import scaler_of


@dataclass(slots=True, eq=False, kw_only=True)
class Learner:
    """A network in training."""

    ranks: Ranks
    network: nn.Module
    """(B, 3, H, W) -> (B, D)."""
    head: ClassHead
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    backbone: Backbone
    """Size and normalisation of the network's crops."""
    device: torch.device
    compute: Callable[[Tensor], Tensor]
    """The network as a training step calls it: compiled, or wrapped by DDP."""
    ddp: DistributedDataParallel | None
    """Sums the network's gradients over the processes; None for one process."""
    dtype: torch.dtype | None
    """Type of autocast; None for float32."""
    memory_format: torch.memory_format
    frozen: tuple[nn.Module, ...]
    """Modules of the network that are not trained."""
    average: WeightAverage | None
    """The moving average of the weights, if there is one."""
    eval_network: nn.Module
    """The network that is scored and saved: the trained network, its average, or a blend."""

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All modules by name."""
        assert isinstance(self.head.loss, nn.Module)
        average = {"average": self.average.network} if self.average else {}
        return {"network": self.network, "head": self.head.loss, **average}

    @property
    def trained_network(self) -> nn.Module:
        """The trained network: the average of the weights, if there is one."""
        return self.average.network if self.average else self.network

    @property
    def is_finite(self) -> bool:
        """Whether every parameter and buffer is finite, in all processes."""
        tensors = (tensor for module in self.modules.values() for tensor in module.state_dict().values())
        return self.ranks.all_true(all(bool(torch.isfinite(tensor).all()) for tensor in tensors))

    def train(self) -> None:
        """Set the network and the head to training mode, except for what is frozen."""
        self.network.train()
        self.head.trained.train()
        for module in self.frozen:
            module.eval()

    def inputs(self, images: NDArray[np.uint8]) -> Tensor:
        """RGB crops (N, H, W, 3) as the network takes them, (N, 3, H, W) on its device."""
        pixels = network_tensor(images, self.backbone.mean, self.backbone.std, self.device)
        return pixels.contiguous(memory_format=self.memory_format)

    def forward(self, images: NDArray[np.uint8]) -> Tensor:
        """The embeddings (N, D) float32 of crops (N, H, W, 3), in training mode."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            embeddings = self.compute(self.inputs(images))
        return embeddings.float()

    def gradient_sync(self, is_last_slice: bool) -> AbstractContextManager[None]:
        """The context of a slice's forward and backward pass: only the last slice's pass sums the gradients over the
        processes."""
        return nullcontext() if is_last_slice or self.ddp is None else self.ddp.no_sync()

    def clip_gradient(self, max_norm: float) -> Tensor:
        """Scale the gradient down to a norm of at most max_norm, 0 for no limit; returns its norm () before that, over
        all parameters in all processes."""
        parameters = parameters_of(self.optimizer)
        if self.ranks.world_size > 1 and self.head.is_sharded:
            network, head = _norm(self.network.parameters()), _norm(self.head.trained.parameters())
            norm = (network.square() + self.ranks.all_reduce_sum(head.square())).sqrt().float()
        else:
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        nn.utils.clip_grads_with_norm_(parameters, max_norm or math.inf, norm)
        return norm

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The output (N, D) of eval_network in evaluation mode and float32, not normalised, for RGB crops
        (N, H, W, 3)."""
        self.eval_network.eval()
        with torch.no_grad():
            out: NDArray[np.float32] = self.eval_network(self.inputs(images)).float().cpu().numpy()
        self.train()
        return out

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Undo at the end what forward and backward passes change: statistics, counters, gradients."""
        buffers = [buffer for module in (self.network, self.head.trained) for buffer in module.buffers()]
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
    start: Mapping[str, NDArray[np.generic]] | None = None,
    ranks: Ranks | None = None,
) -> Learner:
    """A learner whose first weights are drawn from the seed. start: first weights of the network, instead of random
    ones."""
    ranks = ranks or Ranks()
    if settings.compile:
        _check_compiler(device)
    order = torch.channels_last if settings.channels_last else torch.contiguous_format
    network = build(settings.backbone, settings.embedding_size, settings.seed)
    if start is not None:
        put(network, start, f"these weights do not fit the backbone {settings.backbone!r}")
    if ranks.world_size > 1 and settings.sync_bn:
        from cosface_cli.train.distributed.batch_norm import share_statistics  # loads torch's compiler: a second

        share_statistics(network, ranks)
    network.to(device).to(memory_format=order)  # type: ignore[call-overload]
    head = build_head(settings, identities, device, ranks)
    frozen = freeze(network, settings.freeze)
    average = WeightAverage(network, settings.ema) if settings.ema else None
    ddp = distributed_network(network, device, settings.sync_bn) if ranks.world_size > 1 else None
    compute = ddp or network
    learner = Learner(
        ranks=ranks,
        network=network,
        head=head,
        optimizer=optimizer_of(settings, network, head.trained),
        scaler=scaler_of(settings.precision, device, ranks),
        backbone=backbone,
        device=device,
        compute=torch.compile(compute) if settings.compile else compute,
        ddp=ddp,
        dtype=autocast_type(settings.precision),
        memory_format=order,
        frozen=frozen,
        average=average,
        eval_network=average.network if average else network,
    )
    learner.train()
    return learner


def _norm(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The norm () of their gradients, float64."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]).double()


def _check_compiler(device: torch.device) -> None:
    """Raises CosfaceError if torch.compile has no compiler."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise CosfaceError("--compile needs the package triton", hint="pip install triton, or leave out --compile")
        return
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # as torch looks for it
    if shutil.which(compiler) is None:
        raise CosfaceError(f"--compile needs a C++ compiler, and there is no {compiler!r}", hint="leave out --compile")
