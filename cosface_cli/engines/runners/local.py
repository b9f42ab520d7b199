"""Processes on this machine: results in the order of the tasks, few tasks in flight, workers that end with us."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from typing import Any, Generic, Never

from cosface_cli.engines.runners import Opener, Openers, Result, Task
from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.engines.runtime.parent_process import die_with_parent
from cosface_cli.errors import CosfaceError

AHEAD = 4  # tasks in flight for each worker

_worker: Callable[[Any], object] | None = None  # one per worker process, set by _start


def run(
    tasks: Iterable[Task], opener: Openers[Task, Result], workers: int = 0, most: int = sys.maxsize
) -> Iterator[tuple[Task, Result]]:
    """Each task with its result, in order: see Runner. With one worker, the work is done in this process.

    At most AHEAD tasks per worker are in flight, so memory does not grow with the number of tasks. Raises CosfaceError
    when a worker is killed, most likely because memory ran out.
    """
    openers = opener if isinstance(opener, tuple) else (opener,) * (workers or cpu_count())
    workers = min(len(openers), most)
    if workers <= 1:
        single_threaded()
        work = openers[0].open()
        for task in tasks:
            yield task, work(task)
        return
    pool = Pool(openers[:workers], workers)
    try:
        yield from pool.map(tasks, AHEAD * workers)
    finally:
        pool.close()


class Pool(Generic[Task, Result]):
    """Worker processes that stay alive between calls of map."""

    def __init__(self, opener: Openers[Task, Result], workers: int, flag: str = "--workers") -> None:
        """opener: for all workers, or one for each; flag: the option that sets how many there are, for messages."""
        self.flag = flag
        context = multiprocessing.get_context("spawn")
        openers = opener if isinstance(opener, tuple) else (opener,) * workers
        numbers = context.SimpleQueue()  # each process takes one
        for number in range(workers):
            numbers.put(number)
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(openers, numbers))

    def map(self, tasks: Iterable[Task], ahead: int) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, in order, at most `ahead` tasks in flight. Raises CosfaceError as run does."""
        waiting: deque[tuple[Task, Future[Result]]] = deque()
        try:
            for task in tasks:
                waiting.append((task, _submitted(self._pool, task)))
                if len(waiting) >= ahead:
                    first, future = waiting.popleft()
                    yield first, future.result()
            while waiting:
                first, future = waiting.popleft()
                yield first, future.result()
        except BrokenProcessPool:
            raise CosfaceError(
                "a worker process was killed, perhaps because memory ran out",
                hint=f"run the same command again with fewer {self.flag}",
            ) from None
        finally:
            for _, future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the workers once they have finished their current tasks."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, task: object) -> Future[Any]:
    """Submit a task. Workers start with SIGINT blocked: on Ctrl-C each would print a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_work, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(openers: tuple[Opener[Any, object], ...], numbers: SimpleQueue[int]) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    threading.Thread(target=die_with_parent, daemon=True).start()
    single_threaded()
    try:
        _worker = openers[numbers.get()].open()
    except Exception as error:  # raised with the first task, instead of ending the worker
        _worker = _failing(error)


def _failing(error: Exception) -> Callable[[object], Never]:
    def fail(task: object) -> Never:
        raise error

    return fail


def _work(task: object) -> Any:
    assert _worker is not None
    return _worker(task)


class LocalRunner:
    """See Runner."""

    on_this_machine = True

    def __call__(
        self, tasks: Iterable[Task], opener: Openers[Task, Result], workers: int = 0, most: int = sys.maxsize
    ) -> Iterator[tuple[Task, Result]]:
        return run(tasks, opener, workers, most)


LOCAL = LocalRunner()
