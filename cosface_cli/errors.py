"""The errors that a user may see.

    CosfaceError              what is wrong, which file, and what to do
    ├── PhotoError            one photo cannot be used; has a reason code; the run continues
    ├── ModelMismatch         vectors or weights of two different models would be mixed
    ├── DamagedError          a file that cosface wrote is cut short or was changed
    └── BusyError             another process is writing the file

Any other exception is a bug of cosface and is shown with its traceback.
"""

from __future__ import annotations

from os import PathLike


class CosfaceError(Exception):
    """A problem that the user can solve. Its text is `<path>: <problem>; <hint>`, in one line.

    problem: what is wrong, in a few words, with the value that was given.
    path: the file or folder that it is about.
    hint: what to do about it.
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
    """A photo that cannot be used. reason: a code such as decode_error, no_face, too_small."""

    def __init__(
        self, reason: str, problem: str, path: str | PathLike[str] | None = None, hint: str | None = None
    ) -> None:
        super().__init__(problem, path, hint)
        self.reason = reason
        self.args = (reason, problem, self.path, hint)  # pickle calls the class with these, between processes


class ModelMismatch(CosfaceError):
    """A file belongs to another model than the one that is needed."""


class DamagedError(CosfaceError):
    """A file that cosface wrote is cut short or was changed."""


class BusyError(CosfaceError):
    """Another process holds the lock of the file that would be written."""
