"""Reading crops ahead of the training, in a thread or in processes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from cosface_cli.engines.runners import Opener, Result, Task
from cosface_cli.engines.runners.local import Pool
from cosface_cli.engines.runtime.cpu import single_threaded


class Loader:
    """Turns tasks into results in their order, ahead of the training.

    processes: number of reading processes, which stay between calls until close; 0: one thread of this process, which
    starts at once and shares its cores. waited: seconds for which the training waited for results.
    """

    def __init__(self, processes: int = 0) -> None:
        self.processes = processes
        self.waited = 0.0
        self._pool: Pool[Any, Any] | None = None
        self._opener: Opener[Any, Any] | None = None

    def read(self, tasks: Iterable[Task], opener: Opener[Task, Result], ahead: int) -> Generator[Result, None, None]:
        """The result of each task. ahead: tasks that are started before their results are needed."""
        results = self._in_processes(tasks, opener, ahead) if self.processes else _in_thread(tasks, opener, ahead)
        try:
            while True:
                began = time.monotonic()
                try:
                    result = next(results)
                except StopIteration:
                    return
                finally:
                    self.waited += time.monotonic() - began
                yield result
        finally:
            results.close()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def _in_processes(
        self, tasks: Iterable[Task], opener: Opener[Task, Result], ahead: int
    ) -> Generator[Result, None, None]:
        if self._pool is None or self._opener is not opener:
            self.close()
            self._pool, self._opener = Pool(opener, self.processes, "--loaders"), opener
        for _, result in self._pool.map(tasks, max(ahead, 2 * self.processes)):
            yield result


def _in_thread(tasks: Iterable[Task], opener: Opener[Task, Result], ahead: int) -> Generator[Result, None, None]:
    single_threaded()
    work = opener.open()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(1, "crops") as reader:
        try:
            for task in tasks:
                waiting.append(reader.submit(work, task))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            reader.shutdown(cancel_futures=True)
