"""A pool of processes on this machine: results in the order of the tasks, few in flight, workers that die with us."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue
from typing import Any, TypeVar

from cosface_cli.engines.runners import Opener
from cosface_cli.errors import CosfaceError

T = TypeVar("T")

AHEAD = 4  # tasks in flight for each worker

_worker: Callable[[Any], Any] | None = None  # one per worker process, set by _start


def cpu_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    tasks: Iterable[T], opener: Opener | tuple[Opener, ...], workers: int = 0, most: int = sys.maxsize
) -> Iterator[tuple[T, Any]]:
    """Each task with its result, in order. workers: processes, 0 for one a core, but no more than `most`, which is how
    many tasks there are at most; with 1 the work is done in this one. opener: of all, or a tuple with one for each
    process.

    At most AHEAD tasks a worker are in flight, so memory does not grow with the number of tasks. Raises CosfaceError
    when a worker is killed, most likely for want of memory.
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


class Pool:
    """Worker processes that stay from one call of map to the next. opener: of all, or one for each; flag: the option
    that says how many they are."""

    def __init__(self, opener: Opener | tuple[Opener, ...], workers: int, flag: str = "--workers") -> None:
        self.flag = flag
        context = multiprocessing.get_context("spawn")
        openers = opener if isinstance(opener, tuple) else (opener,) * workers
        numbers = context.SimpleQueue()  # each process takes one
        for number in range(workers):
            numbers.put(number)
        self._pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(openers, numbers))

    def map(self, tasks: Iterable[T], ahead: int) -> Iterator[tuple[T, Any]]:
        """Each task with its result, in order, at most `ahead` of them in flight. Raises CosfaceError as run does."""
        waiting: deque[tuple[T, Future[Any]]] = deque()
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
                "a worker process was killed, perhaps for want of memory",
                hint=f"run the same command again with fewer {self.flag}",
            ) from None
        finally:
            for _, future in waiting:
                future.cancel()

    def close(self) -> None:
        """End the workers, after what they have in hand."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def _submitted(pool: ProcessPoolExecutor, task: Any) -> Future[Any]:
    """Submit a task; workers are born deaf to Ctrl-C, which would leave each one's traceback on the terminal."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_work, task)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def single_threaded() -> None:
    """Keep OpenCV to one thread: the cores are shared out by processes."""
    import cv2

    cv2.setNumThreads(1)


def _start(openers: tuple[Opener, ...], numbers: SimpleQueue[int]) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent tells us when to stop
    threading.Thread(target=die_with_parent, daemon=True).start()
    single_threaded()
    try:
        _worker = openers[numbers.get()].open()
    except Exception as error:  # told as what it is with the first task, not as a worker that died
        _worker = _failing(error)


def _failing(error: Exception) -> Callable[[Any], Any]:
    def fail(task: Any) -> Any:
        raise error

    return fail


def _work(task: Any) -> Any:
    assert _worker is not None
    return _worker(task)


def die_with_parent() -> None:
    """End this process when the one that started it is gone, however that ended; for a thread of its own."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
