"""Ray: one run's work over the nodes of a cluster, or over a Ray of our own on this machine.

RAY_ADDRESS names the cluster; without it a Ray with a node of this machine's cores starts and ends with the run. The
driver draws the tasks, and it alone writes, in the order of the tasks: so a node that dies leaves no file half done and
no row twice, whatever the number of nodes the files are the same, and only the reading is shared.

These are plain Ray tasks and not Ray Data. A dataset wants its rows up front, where ours are drawn as results are
written; its actors are restarted without end, so that a photo that kills its worker would kill one after another; and
what it raises does not name the row. A task is asked for RETRIES times more when its worker or node dies, or when the
node that kept its result does.
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
from typing import Any, TypeVar

import ray
from ray import cloudpickle, exceptions
from ray._private import worker as ray_worker

from cosface_cli.engines.runners import Opener
from cosface_cli.engines.runners.local import AHEAD
from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.errors import CosfaceError

T = TypeVar("T")

RETRIES = 3
PATIENCE = 20.0  # seconds between two looks at whether anybody is left to do the work
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_task_oom_retries": str(RETRIES),  # without end by default
}

_opened: tuple[bytes, Callable[[Any], Any]] | None = None  # one per worker process: of the run that it works for


def run(
    tasks: Iterable[T], opener: Opener | tuple[Opener, ...], workers: int = 0, most: int = sys.maxsize
) -> Iterator[tuple[T, Any]]:
    """Each task with its result, in order. workers: tasks at a time, 0 for one a core of all nodes; most: how many
    tasks there are at most, so that a Ray of our own has no more workers. opener: of all, or a tuple of that one.

    At most AHEAD tasks a core are in flight, or a GPU, where the opener wants one. Raises CosfaceError when the cluster
    cannot be reached or has none left, when a node does not see this folder, and when the workers of one task die again
    and again.
    """
    if isinstance(opener, tuple):
        (opener,) = opener
    place = "GPU" if getattr(opener, "gpu", False) else "CPU"
    with _cluster(max(1, min(workers or cpu_count(), most)), place) as own:
        gpus = int(place == "GPU")
        # max_calls=0: Ray keeps a worker from task to task, with a GPU too; it would load the network again for each
        work = ray.remote(num_cpus=1, num_gpus=gpus, max_calls=0, max_retries=RETRIES)(_work)
        recipe: bytes = cloudpickle.dumps((opener, os.getcwd()))  # type: ignore[no-untyped-call]  # noqa: PTH109
        waiting: deque[tuple[T, Any]] = deque()
        ahead = 0
        try:
            for number, task in enumerate(tasks):
                if number % 64 == 0:  # nodes come and go
                    ahead = workers if workers and not own else AHEAD * max(1, _count(place))
                if len(waiting) >= ahead:
                    yield _ended(*waiting.popleft(), place)
                waiting.append((task, work.remote(recipe, task)))
            while waiting:
                yield _ended(*waiting.popleft(), place)
        finally:
            for _, reference in waiting:
                ray.cancel(reference, force=True)


@contextmanager
def _cluster(cores: int, place: str) -> Iterator[bool]:
    """Connected to Ray; gives whether it is our own, with that many cores. What the calling process has connected
    already is used. place: what it must have, CPU or GPU."""
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
            _knock(address)
            ray.init(address, **quiet)
        else:
            ray.init("local", num_cpus=cores, include_dashboard=False, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        where = f"RAY_ADDRESS={address}" if address else None
        problem = f"Ray does not start ({str(error).splitlines()[0]})"
        raise CosfaceError(problem, where, "look at what ray status says" if address else None) from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminated)  # Ray's own would write its stack
    # what befalls a node would be told on standard output, whatever log_to_driver says; there is no other switch
    ray_worker._worker_logs_enabled = False
    try:
        _require_one(place)
        yield not address
    finally:
        ray.shutdown()
        ray_worker._worker_logs_enabled = True


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port: Ray would try for minutes, aloud."""
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


def _ended(task: T, reference: Any, place: str) -> tuple[T, Any]:
    """The task and its result, once that is there."""
    try:
        while not ray.wait([reference], timeout=PATIENCE)[0]:
            if _count(place) == 0:
                raise CosfaceError("the cluster has lost its last node", hint="run the same command again")
        return task, ray.get(reference)
    except exceptions.RayTaskError as error:  # raised by the work itself
        if isinstance(error.cause, ModuleNotFoundError):
            hint = "install there what is installed here"
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


def named(task: Any) -> str:
    """What a task is called: itself, or the first and last of a list."""
    if isinstance(task, list) and len(task) > 1:
        return f"{task[0]} to {task[-1]}"
    return str(task[0] if isinstance(task, list) else task)


def _work(recipe: bytes, task: Any) -> Any:
    """In a worker: what local workers do, in the folder where the command was given."""
    global _opened
    if _opened is None or _opened[0] != recipe:
        opener, folder = pickle.loads(recipe)
        try:
            os.chdir(folder)
        except OSError as error:
            problem = f"the node {platform.node()} does not see this folder"
            raise CosfaceError(problem, folder, "work in a folder that all nodes share") from error
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
        self, tasks: Iterable[Any], opener: Opener | tuple[Opener, ...], workers: int = 0, most: int = sys.maxsize
    ) -> Iterator[tuple[Any, Any]]:
        return run(tasks, opener, workers, most)


RAY = RayRunner()
