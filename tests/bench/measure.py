"""What the benchmarks share: a command run on given cores, with its CPU seconds, wall time and peak memory."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """text: what it wrote on stdout; cpu, wall: seconds, its children's included; peak: MB of its largest process."""

    text: str
    cpu: float
    wall: float
    peak: float


def timed(words: list[str], cores: int = 1) -> Run:
    """Run a command on that many cores, libraries held to as many threads. Exits where it fails (3 is done in part)."""
    read, write = os.pipe()
    own = set(sorted(os.sched_getaffinity(0))[:cores])
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, own)
        os.environ.update(OMP_NUM_THREADS=str(cores), OPENBLAS_NUM_THREADS=str(cores))
        os.dup2(write, 1)
        os.close(read)
        os.execv(words[0], words)
    os.close(write)
    with os.fdopen(read) as out:
        text = out.read()
    _, status, usage = os.wait4(child, 0)
    if status not in (0, 3 << 8):
        raise SystemExit(f"{' '.join(words)} failed")
    return Run(text, usage.ru_utime + usage.ru_stime, time.monotonic() - started, usage.ru_maxrss / 1024)
