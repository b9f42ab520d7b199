"""The costs of a step on this device: memory, by counting the tensors that a pass keeps, and time, by measuring it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cosface_cli.train.crops.dataset import Batch
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step import OPTIMIZERS
from cosface_cli.train.step.discarded_pass import discarded_pass
from cosface_cli.train.step.learner import Learner

_TIMED = 16  # crops at most: with more of them, the time per crop is the same
# memory that allocator and convolutions use, relative to the counted bytes: 1.1 to 1.5 for 32 crops, 1 for 128
# (tests/bench)
_OVERHEAD = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """Bytes and seconds of a training step on this device."""

    per_crop: int
    """Activations of one crop: those kept for the backward pass, and the inputs and outputs of the widest layer."""
    network: int
    """Weights with their gradients."""
    head: int
    """Class weights with their gradients."""
    optimizer: int
    """State of the optimizer."""
    average: int
    """The moving average of the weights."""
    available: int | None
    """Free memory; None if it is not known."""
    seconds_per_crop: float
    """Time of the forward and backward pass."""

    @property
    def fixed(self) -> int:
        """Bytes that do not depend on the batch."""
        return self.network + self.head + self.optimizer + self.average

    @property
    def largest_batch(self) -> int | None:
        """About how many crops fit at once; None if the free memory is not known."""
        if self.available is None:
            return None
        return max(0, int((self.available - self.fixed) / (_OVERHEAD * max(1, self.per_crop))))


def measure(learner: Learner, settings: Settings, batch: Batch) -> Footprint:
    """The footprint, measured by passes over a few crops of a batch. The learner is unchanged afterwards."""
    with learner.untouched():
        few, more = (_kept_bytes(learner, batch, count) for count in (2, 4))
        size = min(_TIMED, len(batch.labels) // settings.accumulate)
        discarded_pass(learner, batch, size)  # the first one also allocates
        begin = time.perf_counter()
        discarded_pass(learner, batch, size)
        if learner.device.type == "cuda":
            torch.cuda.synchronize(learner.device)
        seconds = (time.perf_counter() - begin) / size
    network, head = (_bytes(learner.modules[name].state_dict().values()) for name in ("network", "head"))
    trained_network = _bytes(p for p in learner.network.parameters() if p.requires_grad)
    trained_head = _bytes(learner.head.trained.parameters())
    head_gradients, stored_rows = trained_head, 0
    if learner.head.trained is not learner.modules["head"]:  # Partial FC: the rows of a step, and all rows
        head_gradients, stored_rows = 2 * trained_head, _bytes(learner.modules["head"].parameters())
    copies = OPTIMIZERS.load(settings.optimizer).state_tensors(settings.momentum)
    return Footprint(
        per_crop=(more - few) // 2,
        network=network + trained_network,
        head=head + head_gradients,
        optimizer=copies * (trained_network + trained_head + stored_rows),
        average=network if learner.average else 0,
        available=_share_of(available_memory(learner.device), learner),
        seconds_per_crop=seconds,
    )


def available_memory(device: torch.device) -> int | None:
    """Free bytes on the device; for a CPU those of the machine or the container. None if this is not known."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    known = [value for value in (_free_of_machine(), _free_of_container()) if value is not None]
    return min(known) if known else None


def _share_of(available: int | None, learner: Learner) -> int | None:
    """This process's share of the machine's memory; a GPU is not shared."""
    if available is None or learner.device.type == "cuda":
        return available
    return available // learner.ranks.local_world_size


def _kept_bytes(learner: Learner, batch: Batch, size: int) -> int:
    """Bytes that autograd keeps of a forward pass, without the weights, and the inputs and outputs of the widest layer.
    Each piece of memory counts once."""
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in of_weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    widest = 0

    def passing(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal widest
        widest = max(widest, _bytes(t for t in (*inputs, output) if isinstance(t, Tensor)))

    leaves = [module for module in learner.network.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(passing) for module in leaves]
    chosen = np.arange(size) % len(batch.labels)  # a smaller batch is repeated
    labels = torch.from_numpy(batch.labels[chosen]).to(learner.device)  # (b,)
    compute, learner.compute = learner.compute, learner.network  # compiled code does not call the hooks
    learner.head.begin_step(learner.optimizer, labels, 0)
    modules = (*learner.modules.values(), learner.head.trained)
    of_weights = {p.untyped_storage().data_ptr() for module in modules for p in module.parameters()}
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = learner.head(learner.forward(batch.images[chosen]), labels)
        del output
    finally:
        learner.compute = compute
        for hook in hooks:
            hook.remove()
    return sum(sizes.values()) + widest


def _bytes(tensors: Iterable[Tensor]) -> int:
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
        return max(0, int(limit) - int(used))  # "max" is not a number: there is no limit
    except (OSError, ValueError):
        return None
