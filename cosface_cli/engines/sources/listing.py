"""One word of the command line to a listing, by the first source of the table that knows it."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

from cosface_cli.engines.sources import EVERY, SOURCES, Asked, Listing
from cosface_cli.errors import CosfaceError

HEAD = 512  # bytes that tell the kinds of files apart


def list_photos(source: str, besides: Path | None = None, every: float = EVERY, root: Path | None = None) -> Listing:
    """The photos that a word names: see SOURCES.

    besides: a folder that is left out, where output lies inside the source; every: seconds between the frames of a
    video, noted where there is no video; root: what the names of a list are relative to. Raises CosfaceError for a
    missing source or a damaged archive.
    """
    if root is not None and source != "-":
        raise CosfaceError("--root goes with a list of paths on standard input", hint="leave it out")
    if not (math.isfinite(every) and every >= 0.001):
        raise CosfaceError(f"--every {every:g} is no time between frames", hint="give 0.001 seconds or more")
    asked = Asked(source, _head(source), besides, every, root)
    for row in SOURCES:
        listing: Listing | None = SOURCES.load(row.name)(asked)
        if listing is not None:
            return replace(listing, notes=listing.notes + unused_every(source, every, listing.videos))
    raise CosfaceError("no such file or folder", source, "give a folder of photos, a photo, or - for a list of paths")


def unused_every(source: str, every: float, videos: int) -> tuple[str, ...]:
    """A note where --every was given and there are no videos."""
    return () if videos or every == EVERY else (f"{source}: no video here, --every {every:g} changes nothing",)


def absolute(path: str | os.PathLike[str]) -> Path:
    """The path from the root of the file system. Symbolic links are not resolved."""
    return Path(os.path.abspath(path))  # noqa: PTH100


def _head(source: str) -> bytes:
    path = Path(source)
    if not path.is_file():  # opening a pipe would wait for ever
        return b""
    try:
        with path.open("rb") as handle:
            return handle.read(HEAD)
    except OSError:  # reading the photo says what is wrong
        return b""
