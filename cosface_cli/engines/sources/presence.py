"""A source that goes away in the midst of the work is an error, and never one whose photos were all removed."""

from __future__ import annotations

import os

from cosface_cli.errors import CosfaceError

AWAY = ("missing", "unreadable")  # reasons of rejects that say nothing of the photo: what it gave before stays


class Presence:
    """A folder, archive or file as it was when it was listed; a list or a pattern is nothing that could go away."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._was = _file_of(source)

    def require(self) -> None:
        """Raises CosfaceError unless the source is there still, the same one: an unmounted folder is another."""
        if self._was is not None and _file_of(self.source) != self._was:
            problem = "it went away in the midst of the work; what was done stays"
            raise CosfaceError(problem, self.source, "bring it back and run the same command again")


def _file_of(source: str) -> tuple[int, int] | None:
    try:
        status = os.stat(source)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def require_whole(source: str, whole: bool) -> None:
    """Raises CosfaceError where --prune was asked for and the listing of a source is not all that it holds."""
    if whole:
        return
    if os.path.isdir(source):  # noqa: PTH112
        raise CosfaceError("a part of it cannot be read, so nobody knows what is gone", source, "leave --prune out")
    raise CosfaceError("--prune goes with a folder or an archive", source, "leave --prune out, or give the folder")
