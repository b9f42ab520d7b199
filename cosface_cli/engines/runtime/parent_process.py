"""A child process that ends with its parent."""

from __future__ import annotations

import multiprocessing
import os


def die_with_parent() -> None:
    """Wait until the parent process is gone, then end this process. Runs in a thread of its own."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
