"""Runners: they give tasks to worker processes. A new one is a file here and a row in RUNNERS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import Row, Table

Task = TypeVar("Task")
Result = TypeVar("Result")
Task_contra = TypeVar("Task_contra", contravariant=True)
Result_co = TypeVar("Result_co", covariant=True)


class Opener(Protocol[Task_contra, Result_co]):
    """A picklable recipe for a worker: open() loads models and returns the function from a task to its result.

    If it has an attribute `gpu` that is true, a runner that assigns GPUs gives each worker one.
    """

    def open(self) -> Callable[[Task_contra], Result_co]: ...


Openers = Opener[Task, Result] | tuple[Opener[Task, Result], ...]
"""One opener for every worker, or one for each."""


class Runner(Protocol):
    """Runs tasks in worker processes."""

    on_this_machine: bool
    """Whether workers run on this machine, so that they can use its devices by number."""

    def __call__(
        self, tasks: Iterable[Task], opener: Openers[Task, Result], workers: int, most: int
    ) -> Iterator[tuple[Task, Result]]:
        """Each task with its result, in the order of the tasks, which are drawn a few ahead.

        opener: for every worker; or a tuple with one for each, which also sets how many there are. workers: 0 for one
        per core. most: an upper bound of the number of tasks, so that no more workers than that are started.
        """
        ...


RUNNERS: Table[Runner] = Table(
    "engine",
    Row("local", "cosface_cli.engines.runners.local:LOCAL", "processes on this machine"),
    Row("ray", "cosface_cli.engines.runners.ray:RAY", "the nodes of a Ray cluster, named by RAY_ADDRESS", "cluster"),
)


@dataclass(frozen=True, slots=True)
class PathCheckingOpener(Generic[Task, Result]):
    """Opens a worker only where the files that it will read exist. Otherwise it would report each photo as missing."""

    opener: Opener[Task, Result]
    paths: tuple[Path, ...]
    gpu: bool = False
    """See Opener."""

    def open(self) -> Callable[[Task], Result]:
        """Raises CosfaceError naming the path that does not exist."""
        for path in self.paths:
            if not path.exists():
                hint = "put it, and the temporary folder ($TMPDIR), where every worker can read them"
                raise CosfaceError("a worker cannot find this path", path, hint)
        return self.opener.open()
