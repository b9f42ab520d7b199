"""The pool of processes: order, few in flight, and what happens when somebody dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cosface_cli.engines.runners.local import run
from cosface_cli.engines.runtime.cpu import cpu_count
from cosface_cli.errors import CosfaceError, PhotoError


@dataclass(frozen=True)
class Squares:
    """Later tasks are the quicker ones."""

    def open(self) -> Callable[[int], tuple[int, int]]:
        def work(number: int) -> tuple[int, int]:
            time.sleep(0.002 * (40 - number) / 40)
            return number * number, os.getpid()

        return work


@dataclass(frozen=True)
class Failing:
    """Fails on the task 7 in the way that is asked for."""

    how: str

    def open(self) -> Callable[[int], Any]:
        if self.how == "at the start":
            raise CosfaceError("no such weights", "w.onnx", "give others")
        return self._work

    def _work(self, number: int) -> Any:
        if number == 7:
            match self.how:
                case "killed":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "bug":
                    raise ZeroDivisionError("a bug")
                case "mendable":
                    raise CosfaceError("cannot be read", "a.jpg", "look at it")
                case "photo":
                    raise PhotoError("no_face", "no face was found", "a.jpg", "take another")
                case "value":
                    return PhotoError("no_face", "no face was found", Path("a.jpg"))
        return number


@pytest.mark.slow
@pytest.mark.parametrize("workers", (1, 3))
def test_results_come_in_the_order_of_the_tasks(workers: int):
    found = list(run(range(40), Squares(), workers))
    assert [(task, square) for task, (square, _) in found] == [(n, n * n) for n in range(40)]
    processes = {process for _, (_, process) in found}
    if workers == 1:
        assert processes == {os.getpid()}
    else:
        assert os.getpid() not in processes and len(processes) <= workers


@dataclass(frozen=True)
class Named:
    """Gives its name and its process."""

    name: str

    def open(self) -> Callable[[int], tuple[str, int]]:
        def work(number: int) -> tuple[str, int]:
            time.sleep(0.01)
            return self.name, os.getpid()

        return work


def test_an_opener_for_each_worker():
    """As for two GPUs: each process has one to itself, whatever --workers says."""
    openers = (Named("cuda:0"), Named("cuda:1"))
    found = [result for _, result in run(range(60), openers, workers=1)]
    assert {name for name, _ in found} == {"cuda:0", "cuda:1"} and os.getpid() not in {process for _, process in found}
    assert len(set(found)) == 2
    assert {result for _, result in run(range(3), openers, most=1)} == {("cuda:0", os.getpid())}
    assert {result for _, result in run(range(3), openers[1:], 5)} == {("cuda:1", os.getpid())}


@pytest.mark.parametrize("workers", (1, 2))
def test_no_tasks(workers: int):
    assert list(run([], Squares(), workers)) == []


@pytest.mark.parametrize("workers", (1, 2))
def test_few_tasks_are_in_flight(workers: int):
    """The tasks are drawn as results are taken: memory does not grow with their number."""
    drawn = 0

    def tasks() -> Iterator[int]:
        nonlocal drawn
        for number in range(40):
            drawn += 1
            yield number

    results = run(tasks(), Squares(), workers)
    for taken in range(1, 6):
        next(results)
        assert drawn <= taken + 4 * workers
    results.close()


@pytest.mark.slow
@pytest.mark.parametrize("workers", (1, 2))
@pytest.mark.parametrize(
    ("how", "error", "words"),
    (
        ("bug", ZeroDivisionError, "a bug"),
        ("mendable", CosfaceError, "a.jpg: cannot be read; look at it"),
        ("photo", PhotoError, "a.jpg: no face was found; take another"),
        ("at the start", CosfaceError, "w.onnx: no such weights; give others"),
    ),
)
def test_an_error_of_a_worker_comes_out_as_what_it_is(workers: int, how: str, error: type[Exception], words: str):
    taken = []
    with pytest.raises(error) as caught:
        for task, _ in run(range(20), Failing(how), workers):
            taken.append(task)
    assert str(caught.value) == words and taken == ([] if how == "at the start" else list(range(7)))
    assert getattr(caught.value, "reason", None) == ("no_face" if how == "photo" else None)


@pytest.mark.parametrize("workers", (1, 2))
def test_an_error_may_be_a_value(workers: int):
    results = dict(run(range(9), Failing("value"), workers))
    assert results[8] == 8
    assert isinstance(results[7], PhotoError) and str(results[7]) == "a.jpg: no face was found"


def test_a_killed_worker_is_one_line():
    with pytest.raises(CosfaceError, match=r"a worker process was killed.*; run .* again with fewer --workers"):
        list(run(range(20), Failing("killed"), 2))


def test_cores_that_may_be_used():
    assert cpu_count() == len(os.sched_getaffinity(0)) >= 1


PARENT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from cosface_cli.engines.runners.local import run
from test_runner import Sleeping
if __name__ == "__main__":
    for task, process in run(range(100), Sleeping(), 2):
        print(process, flush=True)
"""


@dataclass(frozen=True)
class Sleeping:
    """Gives its process, then works for long."""

    def open(self) -> Callable[[int], int]:
        def work(number: int) -> int:
            if number > 3:
                time.sleep(600)
            return os.getpid()

        return work


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_workers_die_with_their_parent(tmp_path: Path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    command = [sys.executable, script, str(Path(__file__).parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as parent:
        assert parent.stdout is not None
        workers = {int(parent.stdout.readline()) for _ in range(4)}
        assert all(map(is_alive, workers))
        parent.kill()
    deadline = time.monotonic() + 20
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))
