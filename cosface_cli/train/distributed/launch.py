"""A stage in several processes: those of torchrun, or config.processes that are started by this process.

Rank 0 emits outcomes and writes files. If a process fails, its error is raised, and all processes are ended.
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
from multiprocessing.process import BaseProcess
from typing import Generic, TypeVar, cast

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

_TIMEOUT = timedelta(hours=12)  # the other processes wait while rank 0 validates
_GRACE = 3.0  # seconds to wait for the error of the process that failed first, after another one noticed a failure
_HINT = "run the same command again to resume from the last saved state"


class StoppedElsewhere(CosfaceError):
    """Another process of this run failed, and reports the error."""


def run_in_processes(work: Work[T], config: TrainConfig, emit: OnOutcome) -> T:
    """The result of a stage's work, done in this process or in several.

    Raises CosfaceError as the work does, and in a process of torchrun StoppedElsewhere if another process reports the
    error.
    """
    if is_distributed():
        return _run_under_torchrun(work, config, emit)
    count = config.processes or 1
    return work(config, Ranks(), emit) if count == 1 else _StartedProcesses(work, config, count).follow(emit)


def is_distributed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun, or another launcher, started this process as one of several."""
    return "RANK" in environment and int(environment.get("WORLD_SIZE", 1)) > 1


def is_main_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process is the one that prints."""
    return not is_distributed(environment) or environment["RANK"] == "0"


def _run_under_torchrun(work: Work[T], config: TrainConfig, emit: OnOutcome) -> T:
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    ranks = Ranks(
        rank=rank,
        world_size=world_size,
        local_rank=int(os.environ.get("LOCAL_RANK", rank)),
        local_world_size=int(os.environ.get("LOCAL_WORLD_SIZE", world_size)),
    )
    store, _, _ = next(rendezvous("env://"))
    try:
        if config.processes not in (None, world_size):
            hint = "leave out --processes"
            raise CosfaceError(f"torchrun started {world_size} processes, not {config.processes}", hint=hint)
        with _process_group(store, ranks, config):
            return work(config, ranks, emit if ranks.is_main else ignore)
    except StoppedElsewhere:
        raise
    except Exception:
        with suppress(RuntimeError):  # the store ended with the process that failed
            if store.add("failed", 1) == 1:
                raise
        raise StoppedElsewhere("another process of this run has stopped") from None


@contextmanager
def _process_group(store: Store, ranks: Ranks, config: TrainConfig) -> Iterator[None]:
    """Within it the processes communicate: tensors on GPUs by NCCL, all else by Gloo."""
    has_gpu = config.device in ("auto", "cuda") and torch.cuda.is_available()
    if has_gpu and ranks.local_rank < torch.cuda.device_count():
        torch.cuda.set_device(ranks.local_rank)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if has_gpu else "gloo",
        store=PrefixStore("ranks", store),
        rank=ranks.rank,
        world_size=ranks.world_size,
        timeout=_TIMEOUT,
    )
    yield
    dist.destroy_process_group()  # not after an error: that would wait for the others


@dataclass(frozen=True, slots=True)
class Failure:
    """How a process failed."""

    rank: int
    at: float
    """Seconds of the monotonic clock."""
    error: Exception | None
    """None if the process was killed."""
    trace: str = ""

    @property
    def order(self) -> tuple[int, float]:
        """The order in which failures are reported: a CosfaceError, which the user can correct, then a killed process,
        then other errors, and last the errors of processes that noticed the failure of another one."""
        match self.error:
            case StoppedElsewhere():
                return 3, self.at
            case CosfaceError():
                return 0, self.at
            case None:
                return 1, self.at
            case _:
                return 2, self.at


class _StartedProcesses(Generic[T]):
    """Processes of this machine that do the work. This process emits what rank 0 emits."""

    def __init__(self, work: Work[T], config: TrainConfig, world_size: int) -> None:
        context = multiprocessing.get_context("spawn")
        # this process opens the port before the others get its number
        self.store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        self.processes = []
        self.pipes: dict[Connection, int] = {}
        """The rank that writes to each pipe."""
        for rank in range(world_size):
            reader, writer = context.Pipe(duplex=False)
            ranks = Ranks(rank=rank, world_size=world_size, local_rank=rank, local_world_size=world_size)
            process = context.Process(target=_work, args=(work, config, ranks, self.store.port, writer))
            _start_without_interrupts(process)
            writer.close()  # so that the end of the process closes the pipe
            self.processes.append(process)
            self.pipes[reader] = rank

    def follow(self, emit: OnOutcome) -> T:
        """The result of rank 0. Whatever happens, no process is left running."""
        result: T | None = None
        failures: list[Failure] = []
        try:
            while self.pipes and not (failures and self._is_cause_known(failures)):
                for pipe in wait(list(self.pipes), timeout=_GRACE if failures else None):
                    assert isinstance(pipe, Connection)
                    rank = self.pipes[pipe]
                    try:
                        kind, value = pipe.recv()
                    except EOFError:
                        kind, value = "failed", Failure(rank, time.monotonic(), None)
                    if kind == "outcome":
                        emit(value)
                        continue
                    del self.pipes[pipe]
                    if kind == "failed":
                        failures.append(value)
                    elif rank == 0:
                        result = value
            if failures:
                raise self._error(min(failures, key=lambda failure: failure.order))
            return cast("T", result)  # of rank 0, which answered
        finally:
            for process in self.processes:
                if failures or self.pipes:
                    process.terminate()
            for process in self.processes:
                process.join()

    def _is_cause_known(self, failures: list[Failure]) -> bool:
        first = min(failures, key=lambda failure: failure.order)
        return first.order[0] == 0 or time.monotonic() - first.at > _GRACE

    def _error(self, failure: Failure) -> Exception:
        if isinstance(failure.error, CosfaceError):
            return failure.error
        which = f"process {failure.rank} of {len(self.processes)}"
        if failure.error is None:
            process = self.processes[failure.rank]
            process.join(_GRACE)
            code = process.exitcode or 0
            how = f"was killed ({signal.Signals(-code).name})" if code < 0 else "ended"
            return CosfaceError(f"{which} {how}, perhaps for lack of memory", hint=_HINT)
        return RuntimeError(f"{which} failed:\n{failure.trace}")


def _start_without_interrupts(process: BaseProcess) -> None:
    """Start a process that ignores Ctrl-C from its beginning: this process decides when it ends."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(work: Work[object], config: TrainConfig, ranks: Ranks, port: int, parent: Connection) -> None:
    threading.Thread(target=die_with_parent, daemon=True).start()
    store = TCPStore("127.0.0.1", port, is_master=False)
    emit: OnOutcome = (lambda outcome: parent.send(("outcome", outcome))) if ranks.is_main else ignore
    try:
        with _process_group(store, ranks, config):
            result = work(config, ranks, emit)
        parent.send(("done", result if ranks.is_main else None))
    except Exception as error:
        failure = Failure(ranks.rank, time.monotonic(), _sendable(error), traceback.format_exc())
        parent.send(("failed", failure))


def _sendable(error: Exception) -> Exception:
    """The error in a form that can be sent to another process: a CosfaceError, or a RuntimeError with the message."""
    return error if isinstance(error, CosfaceError) else RuntimeError(str(error))
