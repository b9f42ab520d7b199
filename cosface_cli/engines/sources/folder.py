"""All photos of a folder and its sub-folders, in the order of their names' bytes, whatever the file system's."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cosface_cli.artifacts.photos import looks_like_photo
from cosface_cli.engines.sources import Item, Listing

PHOTOS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"}
PHOTOS |= {".heic", ".heif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}


def list_folder(root: Path, besides: Path | None = None) -> Listing:
    """Files that are photos by their ending, or by their first bytes where the ending says nothing.

    Hidden files and folders are passed over; links are followed, a loop once. besides: a folder to leave out.
    """
    items: list[Item] = []
    others: list[str] = []
    closed: list[str] = []
    out = None if besides is None else besides.resolve()
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(root, frozenset())]  # folders, with those above them
    while waiting:
        folder, above = waiting.pop()
        try:
            status = folder.stat()
            with os.scandir(folder) as found:
                entries = [entry for entry in found if not entry.name.startswith(".")]
        except OSError:
            closed.append(str(folder))
            continue
        here = (status.st_dev, status.st_ino)
        if here in above:  # a link that leads back up
            continue
        for entry in entries:
            path = Path(entry.path)
            if _is_folder(entry):
                if out is None or path.resolve() != out:
                    waiting.append((path, above | {here}))
            elif _is_photo(entry):
                items.append(Item(path.relative_to(root).as_posix(), path, entry.path))
            else:
                others.append(entry.name)
    items.sort(key=lambda item: os.fsencode(item.name))
    notes = []
    if others:
        shown = ", ".join(sorted(others)[:3]) + (", ..." if len(others) > 3 else "")
        notes.append(f"{len(others)} files that are no photos were left alone ({shown})")
    notes += [f"{folder}: this folder cannot be read, its photos are missing" for folder in sorted(closed)]
    return Listing(tuple(items), tuple(notes))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_photo(entry: os.DirEntry[str]) -> bool:
    named = os.path.splitext(entry.name)[1].lower() in PHOTOS  # noqa: PTH122
    try:
        if not stat.S_ISREG(entry.stat().st_mode):  # reading a pipe would wait for ever
            return False
        if named:
            return True
        with open(entry.path, "rb") as handle:  # noqa: PTH123
            return looks_like_photo(handle.read(16))
    except OSError:  # such as a link to nowhere: reading it says what is wrong
        return named
