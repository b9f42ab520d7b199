"""Who runs the work: a worker is opened once in each process and then given task after task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Opener(Protocol):
    """A picklable recipe for a worker: open() loads models and returns the function from a task to its result."""

    def open(self) -> Callable[[Any], Any]: ...
