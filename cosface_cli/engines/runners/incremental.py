"""An incremental run over a source: unchanged photos are skipped, the others go to workers, and results come in order.

    run = IncrementalRun(config.raw, emit)                # before the source is listed
    with run.explaining_errors():
        for item, result in run.results(runner, opener, pending(), workers=..., chunk=8, most=...):
            ...                                           # write it, then run.count(Done(...))
    removed = run.removed_photos(saved, listed)

align and embed are such runs: each says what a worker gets, when a photo is unchanged, and what is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

from cosface_cli.engines.runners import Openers, Result, Runner, Task
from cosface_cli.engines.sources import Place
from cosface_cli.engines.sources.presence import Presence
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, Note, OnOutcome, Rejected, Skipped, Tally

T = TypeVar("T")
K = TypeVar("K")

Outcome = Done | Skipped | Rejected


class IncrementalRun:
    """One run over a source, which must stay in place while it lasts."""

    def __init__(self, source: str, emit: OnOutcome) -> None:
        self.source = source
        self.emit = emit
        self.tally = Tally()
        self._presence = Presence(source)

    def count(self, *outcomes: Outcome) -> None:
        """Emit what became of photos."""
        for outcome in outcomes:
            self.tally.add(outcome)
            self.emit(outcome)

    def note(self, *texts: str) -> None:
        """Emit messages for people."""
        for text in texts:
            self.emit(Note(text))

    def require_source(self) -> None:
        """Raises CosfaceError if the source is gone, such as an unmounted disk."""
        self._presence.require()

    @contextmanager
    def explaining_errors(self) -> Iterator[None]:
        """An error inside becomes the error that the source is gone, if it is: that is then its cause."""
        try:
            yield
        except CosfaceError:
            self.require_source()
            raise

    def results(
        self,
        runner: Runner,
        opener: Openers[list[Task], list[Result]],
        pending: Iterator[tuple[T, Task]],
        *,
        workers: int,
        chunk: int,
        most: int,
    ) -> Iterator[tuple[T, Result]]:
        """The result of each task, with what the caller paired it with, in the order of `pending`.

        Workers get the tasks alone, in lists of `chunk`, and answer with a list of results. most: how many lists there
        are at most. `pending` is read only a few lists ahead, so memory does not grow with the number of photos.
        """
        sent: deque[list[T]] = deque()

        def tasks() -> Iterator[list[Task]]:
            while pairs := list(islice(pending, chunk)):
                sent.append([subject for subject, _ in pairs])
                yield [task for _, task in pairs]

        for _, results in runner(tasks(), opener, workers, most):
            yield from zip(sent.popleft(), results, strict=True)

    def removed_photos(self, saved: Iterable[K], listed: Iterable[K]) -> list[K]:
        """Those with saved results that the source no longer contains. Raises CosfaceError if the source is gone."""
        self.require_source()
        names = set(listed)
        return [name for name in saved if name not in names]

    def note_removed(self, results: Path, count: int, kind: str, pruned: bool) -> None:
        """Say how many photos were removed from the source. kind: of their results in the file or folder `results`."""
        if count:
            consequence = f"their {kind} were removed" if pruned else f"--prune removes their {kind}"
            self.note(f"{results}: {count} of its photos are no longer in {self.source}; {consequence}")


def is_unchanged(place: Place, size: int, mtime_ns: int) -> bool:
    """Whether a file still has this size and modification time."""
    try:
        return place.status() == (size, mtime_ns)
    except OSError:
        return False


def rejected(source: str, reason: str, words: str, columns: Sequence[str]) -> Rejected:
    """A rejected photo with its row of output: empty columns besides source, status and reason."""
    row = dict.fromkeys(columns) | {"source": source, "status": "rejected", "reason": reason}
    return Rejected(source, reason, words, row)
