"""A pattern such as raw/**/*.jpg, for lists that are too long for the shell; ** stands for any folders."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path

from cosface_cli.engines.sources import Listing, SourceRequest
from cosface_cli.engines.sources.folder import ARCHIVES, listing, notes_of, walk
from cosface_cli.errors import CosfaceError

WILD = "*?["


def list_pattern(request: SourceRequest) -> Listing | None:
    """The photos and videos that a pattern names, relative to its part without wildcards.

    Raises CosfaceError where there are none.
    """
    parts = request.path.parts
    fixed = list(takewhile(lambda part: not _is_wild(part), parts))
    wild = parts[len(fixed) :]
    if not wild:
        return None
    root = Path(*fixed)
    walked = walk(root, request.excluded, None if "**" in wild else len(wild))
    files = [file for file in walked.files if matches(file[0].split("/"), wild)]
    if not files:
        raise CosfaceError("no photo matches this pattern", request.source, "quote it, and check it with ls")
    archives = [name for name in walked.others if Path(name).suffix.lower() in ARCHIVES and fnmatchcase(name, wild[-1])]
    return listing(root, files, notes_of(archives, walked.unreadable), request.every)


def matches(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the levels of a name match those of a pattern; case-sensitive."""
    if not pattern:
        return not name
    if pattern[0] == "**":
        return any(matches(name[skip:], pattern[1:]) for skip in range(len(name) + 1))
    return bool(name) and fnmatchcase(name[0], pattern[0]) and matches(name[1:], pattern[1:])


def _is_wild(part: str) -> bool:
    return any(letter in part for letter in WILD)
