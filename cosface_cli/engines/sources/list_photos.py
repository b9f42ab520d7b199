"""From a word of the command line to the photos it names, by the first source of the table that recognises it."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

from cosface_cli.engines.sources import EVERY, SOURCES, Listing, SourceRequest
from cosface_cli.errors import CosfaceError

HEAD = 512  # bytes by which the kinds of files are recognised


def list_photos(source: str, excluded: Path | None = None, every: float = EVERY, root: Path | None = None) -> Listing:
    """The photos that a word names, see SourceRequest for the parameters. An `every` without a video gives a note.

    Raises CosfaceError for a missing source or a damaged archive.
    """
    if root is not None and source != "-":
        raise CosfaceError("--root goes with a list of paths on standard input", hint="leave it out")
    if not (math.isfinite(every) and every >= 0.001):
        raise CosfaceError(f"--every must be at least 0.001 seconds, got {every:g}")
    request = SourceRequest(source, _head(source), excluded, every, root)
    for row in SOURCES:
        listing: Listing | None = SOURCES.load(row.name)(request)
        if listing is not None:
            return replace(listing, notes=listing.notes + unused_every(source, every, listing.videos))
    raise CosfaceError("no such file or folder", source, "give a folder of photos, a photo, or - for a list of paths")


def unused_every(source: str, every: float, videos: int) -> tuple[str, ...]:
    """A note where --every was set and there are no videos."""
    return () if videos or every == EVERY else (f"{source}: it has no videos, so --every {every:g} has no effect",)


def absolute(path: str | os.PathLike[str]) -> Path:
    """The path from the root of the file system. Symbolic links are not resolved."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _head(source: str) -> bytes:
    path = Path(source)
    if not path.is_file():  # opening a pipe would wait forever
        return b""
    try:
        with path.open("rb") as handle:
            return handle.read(HEAD)
    except OSError:  # reading the photo reports what is wrong
        return b""
