"""A stage in several processes: those that torchrun started, or as many as were asked for, started here.

The first one speaks and writes. The first that fails says why, and ends them all.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore
from torch.distributed.rendezvous import rendezvous

from cosface_cli.engines.runtime.parent_process import die_with_parent
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.train import TrainConfig
from cosface_cli.train.distributed.collectives import Ranks

T = TypeVar("T")
Work = Callable[[TrainConfig, Ranks, OnOutcome], T]

_PATIENCE = timedelta(hours=12)  # the others wait while the first one validates
_GRACE = 3.0  # seconds, for the process that failed first to say so when another noticed earlier
_MEND = "the same command goes on from the last saved state"


class StoppedElsewhere(CosfaceError):
    """Another process of this run failed, and says why."""


def run_in_processes(work: Work[T], config: TrainConfig, emit: OnOutcome) -> T:
    """The result of a stage's work, done in this process or in several.

    Raises CosfaceError as the work does; in a process that torchrun started StoppedElsewhere where another one says it.
    """
    if is_distributed():
        return _among_those_started(work, config, emit)
    count = config.processes or 1
    return work(config, Ranks(), emit) if count == 1 else _Started(work, config, count).follow(emit)


def is_distributed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun, or something like it, started this process as one of several."""
    return "RANK" in environment and int(environment.get("WORLD_SIZE", 1)) > 1


def is_main_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the one that speaks."""
    return not is_distributed(environment) or environment["RANK"] == "0"


def _among_those_started(work: Work[T], config: TrainConfig, emit: OnOutcome) -> T:
    rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    ranks = Ranks(rank, count, int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", count)))
    store, _, _ = next(rendezvous("env://"))
    try:
        if config.processes not in (None, count):
            hint = "leave out --processes"
            raise CosfaceError(f"torchrun started {count} processes, not {config.processes}", hint=hint)
        with _together(store, ranks, config):
            return work(config, ranks, emit if ranks.is_main else ignore)
    except StoppedElsewhere:
        raise
    except Exception:
        with suppress(RuntimeError):  # the store went with the process that failed
            if store.add("failed", 1) == 1:
                raise
        raise StoppedElsewhere("another process of this run has stopped") from None


@contextmanager
def _together(store: Store, ranks: Ranks, config: TrainConfig) -> Iterator[None]:
    """Within it the processes can talk: about tensors on GPUs by NCCL, about all else by Gloo."""
    gpu = config.device in ("auto", "cuda") and torch.cuda.is_available()
    if gpu and ranks.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(ranks.local_rank)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if gpu else "gloo",
        store=PrefixStore("ranks", store),
        rank=ranks.rank,
        world_size=ranks.world_size,
        timeout=_PATIENCE,
    )
    yield
    dist.destroy_process_group()  # not after an error: that would wait for the others


@dataclass(frozen=True, slots=True)
class _Failure:
    rank: int
    at: float
    error: Exception | None
    trace: str = ""

    @property
    def order(self) -> tuple[int, float]:
        """What a person can mend first, then what was killed, then the rest: the others only noticed it."""
        kinds = ((StoppedElsewhere, 3), (CosfaceError, 0), (Exception, 2))
        return next((order for kind, order in kinds if isinstance(self.error, kind)), 1), self.at


class _Started:
    """Processes of this machine that do the work. This one tells what the first of them tells."""

    def __init__(self, work: Work[Any], config: TrainConfig, count: int) -> None:
        context = multiprocessing.get_context("spawn")
        # the port is this process's before anybody is told of it
        self.store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.processes = []
        self.ends: dict[Connection, int] = {}
        for rank in range(count):
            here, there = context.Pipe(duplex=False)
            ranks = Ranks(rank, count, rank, count)
            process = context.Process(target=_work, args=(work, config, ranks, self.store.port, there))
            _start_deaf(process)
            there.close()  # so that its end is heard of
            self.processes.append(process)
            self.ends[here] = rank

    def follow(self, emit: OnOutcome) -> Any:
        """The first one's result. Whatever happens, no process is left."""
        result = None
        failures: list[_Failure] = []
        try:
            while self.ends and not (failures and self._can_be_raised(failures)):
                for end in wait(list(self.ends), timeout=_GRACE if failures else None):
                    assert isinstance(end, Connection)
                    rank = self.ends[end]
                    try:
                        kind, value = end.recv()
                    except EOFError:
                        kind, value = "failed", _Failure(rank, time.monotonic(), None)
                    if kind == "told":
                        emit(value)
                        continue
                    del self.ends[end]
                    if kind == "failed":
                        failures.append(value)
                    elif rank == 0:
                        result = value
            if failures:
                raise self._error(min(failures, key=lambda failure: failure.order))
            return result
        finally:
            for process in self.processes:
                if failures or self.ends:
                    process.terminate()
            for process in self.processes:
                process.join()

    def _can_be_raised(self, failures: list[_Failure]) -> bool:
        first = min(failures, key=lambda failure: failure.order)
        return first.order[0] == 0 or time.monotonic() - first.at > _GRACE

    def _error(self, failure: _Failure) -> Exception:
        if isinstance(failure.error, CosfaceError):
            return failure.error
        which = f"process {failure.rank} of {len(self.processes)}"
        if failure.error is None:
            process = self.processes[failure.rank]
            process.join(_GRACE)
            code = process.exitcode or 0
            how = f"was killed ({signal.Signals(-code).name})" if code < 0 else "ended"
            return CosfaceError(f"{which} {how}, perhaps for want of memory", hint=_MEND)
        return RuntimeError(f"{which} failed:\n{failure.trace}")


def _start_deaf(process: Any) -> None:
    """Start a process that is deaf to Ctrl-C from birth: this one tells it when to stop."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(work: Work[Any], config: TrainConfig, ranks: Ranks, port: int, parent: Connection) -> None:
    threading.Thread(target=die_with_parent, daemon=True).start()
    store = TCPStore("127.0.0.1", port, is_master=False)
    try:
        with _together(store, ranks, config):
            result = work(config, ranks, (lambda outcome: parent.send(("told", outcome))) if ranks.is_main else ignore)
        parent.send(("done", result if ranks.is_main else None))
    except Exception as error:
        parent.send(("failed", _Failure(ranks.rank, time.monotonic(), _plain(error), traceback.format_exc())))


def _plain(error: Exception) -> Exception:
    """What can be sent to another process: of an error of ours all, of others only that it was one."""
    return error if isinstance(error, CosfaceError) else RuntimeError(str(error))
