"""The outcome of each input. A stage emits outcomes to a callback; a tally counts them and gives the exit code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

EXIT_DONE = 0
EXIT_NO = 1  # the answer is no (different people, no match), or there was no input
EXIT_FAILED = 2
EXIT_PART = 3  # done in part; each rejected input was named
EXIT_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Planned:
    """How many inputs there are. Emitted before the first outcome."""

    total: int
    """Number of inputs."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress in finer steps than inputs, such as the steps of a training."""

    done: int
    """Steps so far."""
    total: int
    """All steps."""


@dataclass(frozen=True, slots=True)
class Note:
    """A message for the user, such as that a slower fall-back is used."""

    text: str
    """One sentence."""


@dataclass(frozen=True, slots=True)
class Done:
    """An input that was processed."""

    source: str
    """Name of the input."""
    rows: tuple[Mapping[str, object], ...] = ()
    """Its results: one mapping for each row of output."""
    count: int = 1
    """How many inputs this outcome stands for."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """An input whose result exists already and is still valid."""

    source: str
    """Name of the input."""
    count: int = 1
    """How many inputs this outcome stands for."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An input that could not be used."""

    source: str
    """Name of the input."""
    reason: str
    """A code, such as no_face."""
    words: str
    """One sentence that says what is wrong and what to do."""
    row: Mapping[str, object] | None = None
    """The row of output, if the stage makes one for rejects too."""


Outcome = Planned | Progress | Note | Done | Skipped | Rejected
OnOutcome = Callable[[Outcome], None]


def ignore(outcome: Outcome) -> None:
    """The callback of callers that need only the report."""


@dataclass(slots=True)
class Tally:
    """Counts of outcomes. str() is the summary of the run."""

    done: int = 0
    """Inputs that were processed."""
    skipped: int = 0
    """Inputs whose result is still valid."""
    rejected: int = 0
    """Inputs that could not be used."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Rejected inputs by reason."""

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
        """0 if all are done, 1 if there was no input, 2 if all were rejected, 3 if some were."""
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
