"""Where the network is computed, and how it is made to compute the same each time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from cosface_cli.engines.runtime.cpu import cpu_count
from cosface_cli.engines.runtime.devices import KINDS, is_there, require
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.registry import suggest
from cosface_cli.train.distributed.collectives import Ranks

_MOST_LOADERS = 8


def choose(name: str, emit: OnOutcome, ranks: Ranks | None = None) -> torch.device:
    """The device of that name; "auto" takes a GPU if there is one and says so if not. Processes of one machine take
    one GPU each.

    Raises CosfaceError for another name, or for a device that is not there.
    """
    if name not in KINDS:
        raise CosfaceError(f"no device is called {name!r}", hint=suggest(name, list(KINDS)))
    if name == "auto":
        name = next(kind for kind in ("cuda", "mps", "cpu") if is_there(kind))
        if name == "cpu":
            emit(Note("no GPU that torch can use: training on the CPU"))
    require(name)
    if ranks is None or ranks.count == 1 or name == "cpu":
        return torch.device(name)
    gpus = torch.cuda.device_count() if name == "cuda" else 1
    if ranks.on_machine > gpus:
        raise CosfaceError(
            f"{ranks.on_machine} processes are more than the {gpus} GPUs of this machine",
            hint=f"--processes {gpus}, or --device cpu",
        )
    return torch.device(name, ranks.local)


def loaders_for(device: torch.device, asked: int | None, beside: int = 1) -> int:
    """Processes that read crops beside the network: none beside a CPU's, which needs the cores itself.

    beside: how many such networks share the machine."""
    if asked is not None:
        return asked
    return 0 if device.type == "cpu" else max(1, min(_MOST_LOADERS, cpu_count() // beside - 1))


def threads_for(processes: int) -> int:
    """CPU threads of each of the processes that share this machine: all cores of one, else its share of them, or fewer
    where OMP_NUM_THREADS says so (torchrun sets it to 1)."""
    threads = torch.get_num_threads()
    return threads if processes == 1 else max(1, min(threads, cpu_count() // processes))


@contextmanager
def settled(device: torch.device, threads: int) -> Iterator[None]:
    """Compute on that many CPU threads and by deterministic algorithms: the order of a sum is part of its value.
    torch's own random state is left as it was.

    On a GPU algorithms that have no deterministic form are let pass.
    """
    threads_before = torch.get_num_threads()
    strict_before = torch.are_deterministic_algorithms_enabled()
    lenient_before = torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic  # whose types do not tell of it
    filled_before = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(device.type == "cpu")
    # with them torch writes NaN into all memory before its use, to show who reads too early: a fifth of each step
    memory.fill_uninitialized_memory = False
    try:
        with torch.random.fork_rng(devices=[device.index or 0] if device.type == "cuda" else []):
            yield
    finally:
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(strict_before, warn_only=lenient_before)
        memory.fill_uninitialized_memory = filled_before
