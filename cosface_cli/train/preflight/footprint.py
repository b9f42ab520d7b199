"""What a step costs on this device: memory by counting what its pass keeps, time by doing it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cosface_cli.train.crops.dataset import Batch
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.learner import Learner

_TIMED = 16  # crops at most: more of them take as long each
# what allocator and convolutions take beside: of 32 crops 1.1 to 1.5 times the count, of 128 nothing (tests/bench)
_BESIDE = 1.5
_SGD_MEMORY, _ADAMW_MEMORY = 1, 2  # tensors that an optimizer keeps of each parameter


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes and seconds of a training step on this device.

    per_crop: activations by one crop, kept for the backward pass or passing through the widest layer; network, head:
    weights with their gradients; optimizer: its memory; average: of the weights; available: free memory;
    seconds_per_crop: forward and backward.
    """

    per_crop: int
    network: int
    head: int
    optimizer: int
    average: int
    available: int | None
    seconds_per_crop: float

    @property
    def fixed(self) -> int:
        """Bytes whatever the batch."""
        return self.network + self.head + self.optimizer + self.average

    @property
    def largest_batch(self) -> int | None:
        """About how many crops fit at once, None where the free memory is not known."""
        if self.available is None:
            return None
        return max(0, int((self.available - self.fixed) / (_BESIDE * max(1, self.per_crop))))


def measure(learner: Learner, settings: Settings, batch: Batch) -> Footprint:
    """The footprint by passes over a few crops of a batch; the learner is left as it was."""
    with learner.untouched():
        few, more = (_kept_bytes(learner, batch, count) for count in (2, 4))
        size = min(_TIMED, len(batch.labels) // settings.accumulate)
        _pass(learner, batch, size)  # the first one also allocates
        begin = time.perf_counter()
        _pass(learner, batch, size)
        if learner.device.type == "cuda":
            torch.cuda.synchronize(learner.device)
        seconds = (time.perf_counter() - begin) / size
    network, head = (_bytes(learner.modules[name].state_dict().values()) for name in ("network", "head"))
    of_network = _bytes(p for p in learner.network.parameters() if p.requires_grad)
    of_head = _bytes(learner.head.learning.parameters())
    laid_by = 0 if learner.head.learning is learner.modules["head"] else _bytes(learner.modules["head"].parameters())
    copies = _ADAMW_MEMORY if settings.optimizer == "adamw" else _SGD_MEMORY if settings.momentum else 0
    return Footprint(
        per_crop=(more - few) // 2,
        network=network + of_network,
        head=head + (2 * of_head if laid_by else of_head),  # the rows of a step beside all that are laid by
        optimizer=copies * (of_network + of_head + laid_by),
        average=network if learner.average else 0,
        available=_share_of(available_memory(learner.device), learner),
        seconds_per_crop=seconds,
    )


def settle(learner: Learner, batch: Batch) -> None:
    """A pass whose gradients are thrown away: after its first one torch sums them in another order of buckets, and a
    run that goes on must not begin with the old one."""
    with learner.untouched():
        _pass(learner, batch, len(batch.labels))


def available_memory(device: torch.device) -> int | None:
    """Free bytes on the device: of the machine or the container for a CPU; None where nothing tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    found = [value for value in (_free_of_machine(), _free_of_container()) if value is not None]
    return min(found) if found else None


def _share_of(available: int | None, learner: Learner) -> int | None:
    """Of the machine's memory what is left to this process, where others compute there too; a GPU is its own."""
    if available is None or learner.device.type == "cuda":
        return available
    return available // learner.ranks.on_machine


def _pass(learner: Learner, batch: Batch, size: int) -> None:
    labels = torch.from_numpy(batch.labels[:size]).to(learner.device)  # (b,)
    learner.optimizer.zero_grad(set_to_none=True)
    learner.head.begin(learner.optimizer, labels, 0)
    loss = learner.head(learner.forward(batch.images[:size]), labels).loss  # ()
    learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    learner.optimizer.zero_grad(set_to_none=True)


def _kept_bytes(learner: Learner, batch: Batch, size: int) -> int:
    """Bytes that autograd keeps of a forward pass, weights aside, and those that go into and out of the widest layer;
    each piece of memory counts once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in ours:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    widest = 0

    def passing(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal widest
        widest = max(widest, _bytes(t for t in (*inputs, output) if isinstance(t, Tensor)))

    leaves = [module for module in learner.network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(passing) for module in leaves]
    pick = np.arange(size) % len(batch.labels)  # fewer crops than that are seen twice
    labels = torch.from_numpy(batch.labels[pick]).to(learner.device)  # (b,)
    compute, learner.compute = learner.compute, learner.network  # compiled code keeps its tensors elsewhere
    learner.head.begin(learner.optimizer, labels, 0)
    modules = (*learner.modules.values(), learner.head.learning)
    ours = {p.untyped_storage().data_ptr() for module in modules for p in module.parameters()}
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            answer = learner.head(learner.forward(batch.images[pick]), labels)
        del answer
    finally:
        learner.compute = compute
        for hook in hooks:
            hook.remove()
    return sum(kept.values()) + widest


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _free_of_machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _free_of_container() -> int | None:
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text().strip()
        return max(0, int(limit) - int(used))  # "max" is no number: there is no limit
    except (OSError, ValueError):
        return None
