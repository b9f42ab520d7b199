"""Who runs the work: a worker is opened once in each process and then given task after task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import Row, Table


class Opener(Protocol):
    """A picklable recipe for a worker: open() loads models and returns the function from a task to its result.

    One with a true attribute `gpu` wants a GPU for itself, where the runner is who gives them out.
    """

    def open(self) -> Callable[[Any], Any]: ...


class Runner(Protocol):
    """Each task with its result, in the order of the tasks, which are drawn a few ahead; workers: 0 for every core;
    most: how many tasks there are at most, so that no more workers are started.

    opener: of every worker; or a tuple with one for each, which then says how many there are.
    """

    def __call__(
        self, tasks: Iterable[Any], opener: Opener | tuple[Opener, ...], workers: int, most: int
    ) -> Iterator[tuple[Any, Any]]: ...


RUNNERS: Table[Runner] = Table(
    "engine",
    Row("local", "cosface_cli.engines.runners.local:run", "processes on this machine"),
    Row("ray", "cosface_cli.engines.runners.ray:run", "the nodes of a Ray cluster, named by RAY_ADDRESS", "cluster"),
)


@dataclass(frozen=True, slots=True)
class Seeing:
    """Opens a worker where it sees the files that it will read: else it would take each for a missing photo.

    gpu: see Opener.
    """

    opener: Opener
    paths: tuple[Path, ...]
    gpu: bool = False

    def open(self) -> Callable[[Any], Any]:
        """Raises CosfaceError naming the path that is not there."""
        for path in self.paths:
            if not path.exists():
                hint = "keep it, and the temporary folder ($TMPDIR), where every worker sees them"
                raise CosfaceError("a worker does not see it", path, hint)
        return self.opener.open()
