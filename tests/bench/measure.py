"""What the benchmarks share: a command run on given cores, with its CPU seconds, wall time and peak memory."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FEW = 16  # inputs of the run that measures start-up: enough that every worker gets some
COSFACE = [sys.executable, "-m", "cosface_cli"]
_PAGE = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True)
class Run:
    """text: what it wrote on stdout; cpu, wall: seconds, its children's included; peak: MB, all its processes
    together, looked at four times a second."""

    text: str
    cpu: float
    wall: float
    peak: float


def timed(words: Sequence[str], cores: int = 1) -> Run:
    """Run a command on that many cores, libraries held to as many threads. Exits where it fails (3 is done in part)."""
    read, write = os.pipe()
    waits, begins = os.pipe()  # closed when the command begins: until then the child has our own memory
    own = set(sorted(os.sched_getaffinity(0))[:cores])
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        os.sched_setaffinity(0, own)
        os.environ.update(OMP_NUM_THREADS=str(cores), OPENBLAS_NUM_THREADS=str(cores))
        os.dup2(write, 1)
        os.close(read)
        os.execv(words[0], list(words))
    os.close(write)
    os.close(begins)
    os.read(waits, 1)
    os.close(waits)
    text, peak, looked = b"", 0.0, 0.0
    while True:
        if select.select([read], [], [], 0.1)[0]:
            part = os.read(read, 1 << 16)
            if not part:
                break
            text += part
        if time.monotonic() - looked >= 0.25:
            peak, looked = max(peak, memory(child), highest(child)), time.monotonic()
    os.close(read)
    _, status, usage = os.wait4(child, 0)
    if status not in (0, 3 << 8):
        raise SystemExit(f"{' '.join(words)} failed")
    seconds = usage.ru_utime + usage.ru_stime
    return Run(text.decode(), seconds, time.monotonic() - started, peak)


def memory(process: int) -> float:
    """MB of a process and all those below it, by RSS: what they share counts for each."""
    pages: dict[int, int] = {}
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        parents[int(folder.name)], pages[int(folder.name)] = int(fields[1]), int(fields[21])
    tree, found = {process}, 1
    while found:
        more = {child for child, parent in parents.items() if parent in tree} - tree
        tree, found = tree | more, len(more)
    return sum(pages.get(member, 0) for member in tree) * _PAGE


def highest(process: int) -> float:
    """MB that a process had at the most, as far as is known; not by wait4, which counts what it was forked from."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6


def rate(few: Run, every: Run, count: int, by_wall: bool) -> float:
    """Inputs a second of a run over `count`, without the start-up that a run over FEW shows."""
    seconds = every.wall - few.wall if by_wall else every.cpu - few.cpu
    return (count - FEW) / max(seconds, 1e-9)
