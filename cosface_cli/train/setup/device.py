"""The device of a training, and the settings that make its results the same bits in each run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from cosface_cli.engines.runtime.cpu import cpu_count
from cosface_cli.engines.runtime.devices import is_available, require
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train import Device
from cosface_cli.train.distributed.collectives import Ranks

_MOST_LOADERS = 8


def choose_device(name: Device, emit: OnOutcome, ranks: Ranks | None = None) -> torch.device:
    """The device of that name. "auto" is a GPU; if there is none, it is the CPU, and a note is emitted. Each process of
    a machine gets a different GPU.

    Raises CosfaceError for a device that this machine does not have.
    """
    kind: str = name
    if name == "auto":
        kind = next(kind for kind in ("cuda", "mps", "cpu") if is_available(kind))
        if kind == "cpu":
            emit(Note("no GPU that torch can use: training on the CPU"))
    require(kind)
    if ranks is None or ranks.world_size == 1 or kind == "cpu":
        return torch.device(kind)
    gpus = torch.cuda.device_count() if kind == "cuda" else 1
    if ranks.local_world_size > gpus:
        raise CosfaceError(
            f"{ranks.local_world_size} processes are more than the {gpus} GPUs of this machine",
            hint=f"--processes {gpus}, or --device cpu",
        )
    return torch.device(kind, ranks.local_rank)


def loaders_for(device: torch.device, loaders: int | None, local_world_size: int = 1) -> int:
    """The number of processes that read crops: `loaders`; if None, 0 for a network on the CPU, which needs the cores.

    local_world_size: number of networks that share the machine."""
    if loaders is not None:
        return loaders
    if device.type == "cpu":
        return 0
    return max(1, min(_MOST_LOADERS, cpu_count() // local_world_size - 1))


def threads_for(local_world_size: int) -> int:
    """CPU threads of each of the processes that share this machine: all cores for a single one, else its share of them;
    fewer where OMP_NUM_THREADS says so (torchrun sets it to 1)."""
    threads = torch.get_num_threads()
    return threads if local_world_size == 1 else max(1, min(threads, cpu_count() // local_world_size))


@contextmanager
def deterministic(device: torch.device, threads: int) -> Iterator[None]:
    """Compute on that many CPU threads and by deterministic algorithms: the order of a sum is part of its value.
    torch's random state and settings are restored at the end.

    On a GPU, algorithms that have no deterministic form are allowed.
    """
    threads_before = torch.get_num_threads()
    strict_before = torch.are_deterministic_algorithms_enabled()
    lenient_before = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic  # has no types for its setting
    filled_before = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    # otherwise torch fills all new memory with NaN, to detect reads before writes, which takes a fifth of each step
    memory.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(strict_before, warn_only=lenient_before)
        memory.fill_uninitialized_memory = filled_before
