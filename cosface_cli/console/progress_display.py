"""Progress on standard error: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import Protocol

from cosface_cli.console.messages import printable, say, without_markup

_LINE_SECONDS = 10.0  # between two lines of progress


class ProgressDisplay(Protocol):
    """Shows how far a stage is."""

    def say(self, text: str) -> None:
        """Print a message without disturbing the progress."""
        ...

    def at(self, done: int, total: int, rejected: int) -> None:
        """Show the progress. total: 0 if it is unknown."""
        ...

    def close(self) -> None: ...


def open_progress_display(verb: str, quiet: bool) -> ProgressDisplay:
    """A bar on a terminal, lines elsewhere, nothing when quiet."""
    if not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return _Bar(verb)
    return _Lines(verb, quiet)


class _Lines:
    """For a log."""

    def __init__(self, verb: str, quiet: bool) -> None:
        self._verb, self._quiet = verb, quiet
        self._rate = _Rate()
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        say(text, self._quiet)

    def at(self, done: int, total: int, rejected: int) -> None:
        rate = self._rate.at(done)
        now = time.monotonic()
        if self._quiet or now - self._last < _LINE_SECONDS:
            return
        self._last = now
        left = f"/{total}, {rate:.1f}/s, {(total - done) / rate:.0f} s left" if total and rate else f", {rate:.1f}/s"
        say(f"{self._verb}: {done}{left}, {rejected} rejected")

    def close(self) -> None:
        pass


class _Bar:
    """rich's bar with rate, remaining time and rejects."""

    def __init__(self, verb: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[rejects]}"),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._task = self._progress.add_task(verb, total=None, rate="", rejects="")
        self._rate = _Rate()
        self._progress.start()

    def say(self, text: str) -> None:
        self._progress.console.print(without_markup(printable(text)))

    def at(self, done: int, total: int, rejected: int) -> None:
        self._progress.update(
            self._task,
            completed=done,
            total=total or None,
            rate=f"{self._rate.at(done):.1f}/s",
            rejects=f"{rejected} rejected" if rejected else "",
        )

    def close(self) -> None:
        self._progress.stop()


class _Rate:
    """Inputs per second in this run. Inputs of an earlier run are not counted."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._first: int | None = None

    def at(self, done: int) -> float:
        """The rate after `done` inputs."""
        if self._first is None:
            self._first = done - 1
        return (done - self._first) / max(time.monotonic() - self._started, 1e-9)
