"""The errors that a person may see.

    CosfaceError              what is wrong, which file, how to mend it
    ├── PhotoError            one photo cannot be used; carries a reason code; the run goes on
    ├── ModelMismatch         vectors or weights of two different models were about to be mixed
    ├── DamagedError          a file of ours does not hold what it says
    └── BusyError             another process is writing there

Anything else that is raised is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from os import PathLike


class CosfaceError(Exception):
    """A problem that the person at the terminal can mend.

    problem: what is wrong, in a few words.
    path: the file or folder that it is about.
    mend: what to do about it.
    """

    def __init__(self, problem: str, path: str | PathLike[str] | None = None, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = None if path is None else str(path)
        self.hint = hint

    def __str__(self) -> str:
        line = self.problem if self.path is None else f"{self.path}: {self.problem}"
        line = line if self.hint is None else f"{line}; {self.hint}"
        return " ".join(line.split("\n"))


class PhotoError(CosfaceError):
    """One photo that cannot be used. reason: a code such as decode_error, no_face, too_small."""

    def __init__(
        self, reason: str, problem: str, path: str | PathLike[str] | None = None, hint: str | None = None
    ) -> None:
        super().__init__(problem, path, hint)
        self.reason = reason
        self.args = (reason, problem, self.path, hint)  # what pickle calls the class with, between processes


class ModelMismatch(CosfaceError):
    """Embeddings of one model were offered where another's are kept."""


class DamagedError(CosfaceError):
    """A file of ours that was cut short or changed."""


class BusyError(CosfaceError):
    """Another process holds the lock of the file that was to be written."""
