"""CPU cores: how many this process may use, and keeping libraries from using more threads than they are given."""

from __future__ import annotations

import os


def cpu_count() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def single_threaded() -> None:
    """Limit OpenCV to one thread: processes share the cores."""
    import cv2

    cv2.setNumThreads(1)
