"""What learns: a network, its classifier head and their optimizer, on a device."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.inputs import network_tensor
from cosface_cli.backbones.loading import build, put
from cosface_cli.engines.runtime.devices import autocast_type
from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES, loading
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.heads.partial_fc import PartialFC
from cosface_cli.train.heads.whole import Head, WholeHead
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.ema import Average
from cosface_cli.train.step.freezing import freeze
from cosface_cli.train.step.optimizer import optimizer_of, parameters_of
from cosface_cli.train.step.precision import scaler_of


@dataclass(slots=True, eq=False)
class Learner:
    """network: (B, 3, H, W) -> (B, D); head: the loss with the class weights that lie here; compute: the network as it
    is run in training; spread: what sums its gradients where processes share it; dtype: that it is computed in, None
    for float32; frozen: its modules that do not learn; average: of its weights, where one is kept; shown: the network
    that is scored and saved."""

    ranks: Ranks
    network: nn.Module
    head: Head
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    backbone: Backbone
    device: torch.device
    compute: Callable[[Tensor], Tensor]
    spread: DistributedDataParallel | None
    dtype: torch.dtype | None
    memory_format: torch.memory_format
    frozen: tuple[nn.Module, ...]
    average: Average | None
    shown: nn.Module

    @property
    def modules(self) -> dict[str, nn.Module]:
        """All modules by name."""
        assert isinstance(self.head.loss, nn.Module)
        average = {"average": self.average.network} if self.average else {}
        return {"network": self.network, "head": self.head.loss, **average}

    @property
    def is_finite(self) -> bool:
        """Whether every parameter and buffer is a number, in all processes."""
        tensors = (tensor for module in self.modules.values() for tensor in module.state_dict().values())
        return self.ranks.every(all(bool(torch.isfinite(tensor).all()) for tensor in tensors))

    def train(self) -> None:
        """Bring the network and the head into training, but for what is frozen."""
        self.network.train()
        self.head.learning.train()
        for module in self.frozen:
            module.eval()

    def inputs(self, images: NDArray[np.uint8]) -> Tensor:
        """RGB crops (N, H, W, 3) as the network sees them, (N, 3, H, W) on its device."""
        pixels = network_tensor(images, self.backbone.mean, self.backbone.std, self.device)
        return pixels.contiguous(memory_format=self.memory_format)

    def forward(self, images: NDArray[np.uint8]) -> Tensor:
        """The embeddings (N, D) float32 of crops (N, H, W, 3) in training."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            embeddings = self.compute(self.inputs(images))
        return embeddings.float()

    def summing(self, now: bool) -> AbstractContextManager[None]:
        """A pass whose gradients are summed over the processes; if not now, they wait for a later pass."""
        return nullcontext() if now or self.spread is None else self.spread.no_sync()

    def clip(self, longest: float) -> Tensor:
        """Shorten the gradient to that length, 0 for any; gives the length () that it had, of all parameters in all
        processes."""
        parameters = parameters_of(self.optimizer)
        if self.ranks.count > 1 and self.head.is_spread:
            ours, theirs = _lengths(self.network.parameters()), _lengths(self.head.learning.parameters())
            found = (ours.square() + self.ranks.sum(theirs.square())).sqrt().float()
        else:
            found = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        nn.utils.clip_grads_with_norm_(parameters, longest or math.inf, found)
        return found

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
        buffers = [buffer for module in (self.network, self.head.learning) for buffer in module.buffers()]
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
    ranks: Ranks | None = None,
) -> Learner:
    """A learner with first weights drawn from the seed, those of the network from a start if there is one."""
    ranks = ranks or Ranks()
    if settings.compile:
        _check_compiler(device)
    order = torch.channels_last if settings.channels_last else torch.contiguous_format
    network = build(settings.backbone, settings.embedding_size, settings.seed)
    if start is not None:
        put(network, start, f"these weights do not fit the backbone {settings.backbone!r}")
    if ranks.count > 1 and settings.sync_bn:
        from cosface_cli.train.distributed.batch_norm import share_statistics  # loads torch's compiler: a second

        share_statistics(network, ranks)
    network.to(device).to(memory_format=order)  # type: ignore[call-overload]
    head = _head(settings, identities, device, ranks)
    frozen = freeze(network, settings.freeze)
    average = Average(network, settings.ema) if settings.ema else None
    spread = _spread(network, device, settings.sync_bn) if ranks.count > 1 else None
    compute = spread or network
    learner = Learner(
        ranks=ranks,
        network=network,
        head=head,
        optimizer=optimizer_of(settings, network, head.learning),
        scaler=scaler_of(settings.precision, device, ranks),
        backbone=backbone,
        device=device,
        compute=torch.compile(compute) if settings.compile else compute,
        spread=spread,
        dtype=autocast_type(settings.precision),
        memory_format=order,
        frozen=frozen,
        average=average,
        shown=average.network if average else network,
    )
    learner.train()
    return learner


def _head(settings: Settings, identities: int, device: torch.device, ranks: Ranks) -> Head:
    def build(count: int) -> nn.Module:
        return loading.build(settings.loss, settings.embedding_size, count, settings.head, settings.seed + 1)

    share = settings.sample_rate
    if share < 1 or (ranks.count > 1 and LOSSES.load(settings.loss).SHARDABLE):
        small = build(1) if share < 1 else None
        return PartialFC(build(identities), small, identities, ranks, share, settings.seed, device)
    return WholeHead(build(identities), identities, ranks, device)


def _spread(network: nn.Module, device: torch.device, sync_bn: bool) -> DistributedDataParallel:
    """The network with the sum of everybody's gradients after each backward pass: torch's own takes their mean, but
    here the loss is already the mean over the crops of all.

    Where batch norm goes by each process's own crops, all go on from the first one's statistics.
    """
    found = DistributedDataParallel(
        network,
        device_ids=[device] if device.type == "cuda" else None,
        forward_sync_buffers=not sync_bn,
        gradient_as_bucket_view=True,
    )
    found.register_comm_hook(
        None, lambda _, bucket: _sum(bucket.buffer())
    )  # torch asks for its own annotations, or none
    return found


def _sum(gradients: Tensor) -> torch.futures.Future[Tensor]:
    work = dist.all_reduce(gradients, async_op=True)
    assert work is not None
    summed: torch.futures.Future[Tensor] = work.get_future().then(lambda done: done.value()[0])
    return summed


def _lengths(parameters: Iterable[nn.Parameter]) -> Tensor:
    """The length () of their gradients, float64."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None]).double()


def _check_compiler(device: torch.device) -> None:
    """Raises CosfaceError where torch.compile has nothing to compile with."""
    if device.type == "cuda":
        if find_spec("triton") is None:
            raise CosfaceError("--compile needs the package triton", hint="pip install triton, or leave out --compile")
        return
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # torch looks for no other
    if shutil.which(compiler) is None:
        raise CosfaceError(f"--compile needs a C++ compiler, and there is no {compiler!r}", hint="leave out --compile")
