"""A source that disappears during a run is an error; it must not look like one whose photos were all removed."""

from __future__ import annotations

import os

from cosface_cli.errors import CosfaceError

AWAY = ("missing", "unreadable")  # reasons of rejects after which earlier results of a photo are kept


class Presence:
    """Remembers the folder, archive or file that was listed. A list or a pattern cannot disappear."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._listed = _file_of(source)

    def require(self) -> None:
        """Raises CosfaceError unless the source still exists and is the same: an unmounted folder is another one."""
        if self._listed is not None and _file_of(self.source) != self._listed:
            problem = "it disappeared during the run; finished work is kept"
            raise CosfaceError(problem, self.source, "make it available and run the same command again")


def _file_of(source: str) -> tuple[int, int] | None:
    try:
        status = os.stat(source)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def require_whole(source: str, whole: bool) -> None:
    """Raises CosfaceError for --prune where the listing of a source may be incomplete."""
    if whole:
        return
    if os.path.isdir(source):  # noqa: PTH112
        raise CosfaceError(
            "some of its folders cannot be read, so --prune cannot tell what was removed", source, "leave --prune out"
        )
    raise CosfaceError("--prune needs a folder or an archive", source, "leave --prune out, or give the folder")
