"""All photos and videos of a folder and its sub-folders, in the order of their names' bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cosface_cli.artifacts.pictures import looks_like_photo
from cosface_cli.engines.sources import Asked, File, Item, Listing
from cosface_cli.engines.sources.video import frames, is_video

PHOTOS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"}
PHOTOS |= {".heic", ".heif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}
ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".rec"}


@dataclass(slots=True)
class Walk:
    """What a folder holds. files: name, path and whether it is a video; others: names of files that are neither
    photos nor videos; closed: folders that cannot be read."""

    files: list[tuple[str, Path, bool]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)


def list_folder(asked: Asked) -> Listing | None:
    """Files that are photos by their ending, or by their first bytes where the ending says nothing; and videos.

    Hidden files and folders are passed over; links are followed, a loop once; archives are left alone.
    """
    if not asked.path.is_dir():
        return None
    found = walk(asked.path, asked.besides)
    listed = listing(asked.path, found.files, notes_of(found.others, found.closed), asked.every)
    return replace(listed, whole=not found.closed)


def listing(root: Path, files: Iterable[tuple[str, Path, bool]], notes: tuple[str, ...], every: float) -> Listing:
    """Items in the order of their names' bytes; each video gives its frames."""
    items: list[Item] = []
    videos = 0
    for name, path, video in files:
        videos += video
        items += frames(name, path, str(path), every) if video else [Item(name, File(path), str(path))]
    items.sort(key=lambda item: os.fsencode(item.name))
    return Listing(root, tuple(items), notes, videos)


def walk(root: Path, besides: Path | None = None, depth: int | None = None) -> Walk:
    """The files of a folder. besides: a folder to leave out; depth: levels of folders to look into, None for all."""
    walked = Walk()
    out = None if besides is None else besides.resolve()
    # folders, with their level and those above them
    waiting: list[tuple[Path, int, frozenset[tuple[int, int]]]] = [(root, 1, frozenset())]
    while waiting:
        folder, level, above = waiting.pop()
        try:
            status = folder.stat()
            with os.scandir(folder) as found:
                entries = [entry for entry in found if not entry.name.startswith(".")]
        except OSError:
            walked.closed.append(str(folder))
            continue
        here = (status.st_dev, status.st_ino)
        if here in above:  # a link that leads back up
            continue
        for entry in entries:
            path = Path(entry.path)
            if _is_folder(entry):
                if level != depth and (out is None or path.resolve() != out):
                    waiting.append((path, level + 1, above | {here}))
                continue
            video = _kind(entry)
            if video is None:
                walked.others.append(entry.name)
            else:
                walked.files.append((path.relative_to(root).as_posix(), path, video))
    return walked


def notes_of(others: list[str], closed: list[str] = []) -> tuple[str, ...]:  # noqa: B006
    """Sentences about what was left alone."""
    archives = [name for name in others if os.path.splitext(name)[1].lower() in ARCHIVES]  # noqa: PTH122
    rest = [name for name in others if name not in set(archives)]
    notes = []
    if rest:
        notes.append(f"{len(rest)} files that are no photos were left alone ({shown(rest)})")
    if archives:
        notes.append(f"{len(archives)} archives were left alone ({shown(archives)}): give each one by its path")
    notes += [f"{folder}: this folder cannot be read, its photos are missing" for folder in sorted(closed)]
    return tuple(notes)


def shown(names: list[str]) -> str:
    """The first three names, in order."""
    return ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _kind(entry: os.DirEntry[str]) -> bool | None:
    """False for a photo, True for a video, None for anything else."""
    named = os.path.splitext(entry.name)[1].lower() in PHOTOS  # noqa: PTH122
    try:
        if not stat.S_ISREG(entry.stat().st_mode):  # reading a pipe would wait for ever
            return None
        if named:
            return False
        with open(entry.path, "rb") as handle:  # noqa: PTH123
            head = handle.read(256)
    except OSError:  # such as a link to nowhere: reading it says what is wrong
        return False if named else None
    if looks_like_photo(head):
        return False
    return True if is_video(entry.name, head) else None
