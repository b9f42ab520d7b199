"""Ray: the tasks of one run on the nodes of a cluster, or on a local Ray that lasts as long as the run.

RAY_ADDRESS names the cluster. Without it, Ray starts with one node that has the cores of this machine. Only the driver
writes, in the order of the tasks. So a node that dies leaves no file half written and no row twice, and the files are
the same for any number of nodes.

These are plain Ray tasks, not Ray Data: a dataset needs its rows in advance, while ours are drawn as results are
written; it restarts actors forever, so that a photo that kills its worker would kill one after another; and its errors
do not name the row. A task is retried RETRIES times when its worker or node dies, or the node that stores its result.
"""

from __future__ import annotations

import os
import pickle
import platform
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from logging import CRITICAL
from typing import Any

import ray
from ray import cloudpickle, exceptions
from ray._private import worker as ray_worker

from cosface_cli.engines.runners import Openers, Result, Task
from cosface_cli.engines.runners.local import AHEAD
from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.errors import CosfaceError

RETRIES = 3
PATIENCE = 20.0  # seconds between two checks whether the cluster still has nodes
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_task_oom_retries": str(RETRIES),  # by default it retries forever
}

_opened: tuple[bytes, Callable[[Any], object]] | None = None  # one per worker process, for the current run


def run(
    tasks: Iterable[Task], opener: Openers[Task, Result], workers: int = 0, most: int = sys.maxsize
) -> Iterator[tuple[Task, Result]]:
    """Each task with its result, in order: see Runner. workers: tasks at a time, 0 for one per core of all nodes;
    opener: for all workers, or a tuple of one.

    At most AHEAD tasks per core are in flight, or per GPU if the opener wants one. Raises CosfaceError when the cluster
    cannot be reached or has no nodes left, when a node cannot find this folder, and when the workers of one task keep
    dying.
    """
    if isinstance(opener, tuple):
        (opener,) = opener
    place = "GPU" if getattr(opener, "gpu", False) else "CPU"
    with _cluster(max(1, min(workers or cpu_count(), most)), place) as is_local:
        gpus = int(place == "GPU")
        # max_calls=0: keep the worker for the next task, also on a GPU; it would load the network again for each
        work = ray.remote(num_cpus=1, num_gpus=gpus, max_calls=0, max_retries=RETRIES)(_work)
        recipe: bytes = cloudpickle.dumps((opener, os.getcwd()))  # type: ignore[no-untyped-call]  # noqa: PTH109
        waiting: deque[tuple[Task, ray.ObjectRef[Result]]] = deque()
        ahead = 0
        try:
            for number, task in enumerate(tasks):
                if number % 64 == 0:  # nodes come and go
                    ahead = workers if workers and not is_local else AHEAD * max(1, _count(place))
                if len(waiting) >= ahead:
                    yield _result_of(*waiting.popleft(), place)
                waiting.append((task, work.remote(recipe, task)))
            while waiting:
                yield _result_of(*waiting.popleft(), place)
        finally:
            for _, reference in waiting:
                ray.cancel(reference, force=True)


@contextmanager
def _cluster(cores: int, place: str) -> Iterator[bool]:
    """A connection to Ray; yields whether it is a local Ray, started with that many cores. An existing connection of
    this process is used. place: what the nodes must have, CPU or GPU."""
    address = os.environ.get("RAY_ADDRESS")
    if ray.is_initialized():
        _require_one(place)
        yield False
        return
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    quiet: dict[str, Any] = {"logging_level": CRITICAL, "log_to_driver": False}
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        if address:
            _require_listening(address)
            ray.init(address, **quiet)
        else:
            ray.init("local", num_cpus=cores, include_dashboard=False, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"RAY_ADDRESS={address}" if address else None
        problem = f"Ray does not start ({str(error).splitlines()[0]})"
        raise CosfaceError(problem, where, "check it with ray status" if address else None) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminated)  # Ray's handler would print its stack
    # otherwise Ray reports node failures on standard output, even with log_to_driver=False; there is no other switch
    ray_worker._worker_logs_enabled = False
    try:
        _require_one(place)
        yield not address
    finally:
        ray.shutdown()
        ray_worker._worker_logs_enabled = True


def _require_listening(address: str) -> None:
    """Raises OSError where no server listens at host:port. Ray would retry for minutes and print messages."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _count(place: str) -> int:
    """How many cores or GPUs the nodes have."""
    return int(ray.cluster_resources().get(place, 0))  # type: ignore[no-untyped-call]


def _require_one(place: str) -> None:
    if _count(place) == 0:
        problem = f"no node of the cluster has a {'core' if place == 'CPU' else place}"
        hint = "start one with ray start --address=..."
        raise CosfaceError(problem, hint=hint if place == "CPU" else f"{hint}, or --device cpu")


def _result_of(task: Task, reference: ray.ObjectRef[Result], place: str) -> tuple[Task, Result]:
    """The task and its result; waits for it."""
    try:
        while not ray.wait([reference], timeout=PATIENCE)[0]:
            if _count(place) == 0:
                raise CosfaceError("the cluster has no nodes left", hint="run the same command again")
        return task, ray.get(reference)
    except exceptions.RayTaskError as error:  # raised by the work itself
        if isinstance(error.cause, ModuleNotFoundError):
            hint = "install the same packages on every node"
            raise CosfaceError(f"a node of the cluster lacks the module {error.cause.name!r}", hint=hint) from error
        raise error.cause from error
    except exceptions.OutOfMemoryError:
        raise CosfaceError("its workers ran out of memory", named(task), "run again with fewer --workers") from None
    except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.ObjectLostError):
        problem = f"its worker was killed {RETRIES + 1} times, perhaps because memory ran out"
        raise CosfaceError(problem, named(task), "leave it out, or run again with fewer --workers") from None
    except exceptions.RayError as error:
        problem = f"Ray failed ({str(error).splitlines()[0]})"
        raise CosfaceError(problem, named(task), "run the same command again") from error


def named(task: object) -> str:
    """What errors call a task: itself, or the first and last of a list."""
    if isinstance(task, list) and len(task) > 1:
        return f"{task[0]} to {task[-1]}"
    return str(task[0] if isinstance(task, list) else task)


def _work(recipe: bytes, task: object) -> Any:
    """In a worker: do what a local worker does, in the folder where the command was started."""
    global _opened
    if _opened is None or _opened[0] != recipe:
        opener, folder = pickle.loads(recipe)
        try:
            os.chdir(folder)
        except OSError as error:
            problem = f"the node {platform.node()} cannot find this folder"
            raise CosfaceError(problem, folder, "run the command in a folder that all nodes share") from error
        single_threaded()
        try:
            _opened = recipe, opener.open()
        except CosfaceError as error:
            error.problem += f" (on the node {platform.node()})"
            raise
    return _opened[1](task)


class RayRunner:
    """See Runner."""

    on_this_machine = False

    def __call__(
        self, tasks: Iterable[Task], opener: Openers[Task, Result], workers: int = 0, most: int = sys.maxsize
    ) -> Iterator[tuple[Task, Result]]:
        return run(tasks, opener, workers, most)


RAY = RayRunner()
