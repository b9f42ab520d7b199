"""What became of each input: a stage tells outcomes to a callback, a tally turns them into an exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

EXIT_DONE = 0
EXIT_NO = 1  # the answer is no: another person, no match, nothing there to work on
EXIT_FAILED = 2
EXIT_PART = 3  # done in part, rejects are named
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Planned:
    """How many inputs there are to come; told before the first outcome."""

    total: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the work is, where it is told in finer steps than its inputs: the steps of a training."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for people: a fall-back taken, a file left alone."""

    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """An input that was worked on. rows: its results, one mapping per row of output; count: how many inputs, where many
    are told together."""

    source: str
    rows: tuple[Mapping[str, Any], ...] = ()
    count: int = 1


@dataclass(frozen=True, slots=True)
class Skipped:
    """An input whose result was there already and still holds. count: as in Done."""

    source: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Rejected:
    """An input that could not be used. reason: a code; words: one sentence with the mend; row: of output, where the
    stage makes it."""

    source: str
    reason: str
    words: str
    row: Mapping[str, Any] | None = None


Outcome = Planned | Progress | Note | Done | Skipped | Rejected
OnOutcome = Callable[[Outcome], None]


def ignore(outcome: Outcome) -> None:
    """The callback of a caller that only wants the report."""


@dataclass(slots=True)
class Tally:
    """Counts of outcomes; its exit_code and str are the run's."""

    done: int = 0
    skipped: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        match outcome:
            case Done(count=count):
                self.done += count
            case Skipped(count=count):
                self.skipped += count
            case Rejected(reason=reason):
                self.rejected += 1
                self.reasons[reason] += 1

    @property
    def total(self) -> int:
        return self.done + self.skipped + self.rejected

    @property
    def exit_code(self) -> int:
        """0 all done, 1 there was nothing to do it to, 2 every input rejected, 3 some rejected."""
        if self.total == 0:
            return EXIT_NO
        if self.rejected == 0:
            return EXIT_DONE
        return EXIT_FAILED if self.rejected == self.total else EXIT_PART

    def __str__(self) -> str:
        parts = [f"{self.done} done"]
        if self.skipped:
            parts.append(f"{self.skipped} unchanged")
        if self.rejected:
            reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(self.reasons.items()))
            parts.append(f"{self.rejected} rejected ({reasons})")
        return ", ".join(parts) if self.total else "nothing to do"
