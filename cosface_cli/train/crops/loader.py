"""Work that goes on beside the training: tasks to results, in order, ahead of whoever waits for them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from cosface_cli.engines.runners import Opener
from cosface_cli.engines.runners.local import Pool
from cosface_cli.engines.runtime.cpu import single_threaded


class Readers:
    """loaders: processes that read; 0: one thread of this process, which costs nothing to start and shares its cores.

    Processes stay from one call to the next until close. waited: seconds that results were waited for.
    """

    def __init__(self, loaders: int = 0) -> None:
        self.loaders = loaders
        self.waited = 0.0
        self._pool: Pool | None = None
        self._of: Opener | None = None

    def read(self, tasks: Iterable[Any], opener: Opener, ahead: int) -> Generator[Any, None, None]:
        """The result of each task. ahead: tasks in work or done while none is asked for."""
        results = self._in_processes(tasks, opener, ahead) if self.loaders else _in_thread(tasks, opener, ahead)
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

    def _in_processes(self, tasks: Iterable[Any], opener: Opener, ahead: int) -> Generator[Any, None, None]:
        if self._pool is None or self._of is not opener:
            self.close()
            self._pool, self._of = Pool(opener, self.loaders, "--loaders"), opener
        for _, result in self._pool.map(tasks, max(ahead, 2 * self.loaders)):
            yield result


def _in_thread(tasks: Iterable[Any], opener: Opener, ahead: int) -> Generator[Any, None, None]:
    single_threaded()
    work: Callable[[Any], Any] = opener.open()
    waiting: deque[Any] = deque()
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
