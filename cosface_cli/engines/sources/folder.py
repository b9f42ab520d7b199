"""All photos and videos of a folder and its sub-folders, in the order of their names' bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from cosface_cli.artifacts.pictures import looks_like_photo
from cosface_cli.engines.sources import File, Item, Listing, SourceRequest
from cosface_cli.engines.sources.video import frames, is_video

PHOTOS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"}
PHOTOS |= {".heic", ".heif", ".avif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}
ARCHIVES = {".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".rec"}


@dataclass(slots=True)
class Walk:
    """The files of a folder and its sub-folders."""

    files: list[tuple[str, Path, bool]] = field(default_factory=list)
    """Photos and videos: name, path and whether it is a video."""
    others: list[str] = field(default_factory=list)
    """Names of the other files."""
    unreadable: list[str] = field(default_factory=list)
    """Folders that cannot be read."""


def list_folder(request: SourceRequest) -> Listing | None:
    """Photos by their suffix, or by their first bytes where the suffix is of no known format; and videos.

    Hidden files and folders are skipped. Links are followed, a loop once. Archives are not opened.
    """
    if not request.path.is_dir():
        return None
    walked = walk(request.path, request.excluded)
    listed = listing(request.path, walked.files, notes_of(walked.others, walked.unreadable), request.every)
    return replace(listed, whole=not walked.unreadable)


def listing(root: Path, files: Iterable[tuple[str, Path, bool]], notes: tuple[str, ...], every: float) -> Listing:
    """Items in the order of their names' bytes; each video gives its frames."""
    items: list[Item] = []
    videos = 0
    for name, path, video in files:
        videos += video
        items += frames(name, path, str(path), every) if video else [Item(name, File(path), str(path))]
    items.sort(key=lambda item: os.fsencode(item.name))
    return Listing(root=root, items=tuple(items), notes=notes, videos=videos)


def walk(root: Path, excluded: Path | None = None, depth: int | None = None) -> Walk:
    """The files of a folder. excluded: a folder to leave out; depth: levels of folders to search, None for all."""
    walked = Walk()
    skipped = None if excluded is None else excluded.resolve()
    # folders, with their level and those above them
    waiting: list[tuple[Path, int, frozenset[tuple[int, int]]]] = [(root, 1, frozenset())]
    while waiting:
        folder, level, above = waiting.pop()
        try:
            status = folder.stat()
            with os.scandir(folder) as scanned:
                entries = [entry for entry in scanned if not entry.name.startswith(".")]
        except OSError:
            walked.unreadable.append(str(folder))
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in above:  # a link to a folder above
            continue
        for entry in entries:
            path = Path(entry.path)
            if _is_folder(entry):
                if level != depth and (skipped is None or path.resolve() != skipped):
                    waiting.append((path, level + 1, above | {identity}))
                continue
            video = _kind(entry)
            if video is None:
                walked.others.append(entry.name)
            else:
                walked.files.append((path.relative_to(root).as_posix(), path, video))
    return walked


def notes_of(others: list[str], unreadable: list[str] = []) -> tuple[str, ...]:  # noqa: B006
    """Sentences about the files that were skipped."""
    archives = [name for name in others if os.path.splitext(name)[1].lower() in ARCHIVES]  # noqa: PTH122
    rest = [name for name in others if name not in set(archives)]
    notes = []
    if rest:
        notes.append(f"{len(rest)} files that are not photos were skipped ({shown(rest)})")
    if archives:
        notes.append(f"{len(archives)} archives were skipped ({shown(archives)}): give the path of each to read it")
    notes += [f"{folder}: this folder cannot be read; its photos are missing" for folder in sorted(unreadable)]
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
    """True for a video, False for a photo, None for anything else."""
    named = os.path.splitext(entry.name)[1].lower() in PHOTOS  # noqa: PTH122
    try:
        if not stat.S_ISREG(entry.stat().st_mode):  # reading a pipe would wait forever
            return None
        if named:
            return False
        with open(entry.path, "rb") as handle:  # noqa: PTH123
            head = handle.read(256)
    except OSError:  # such as a broken link: reading it reports what is wrong
        return False if named else None
    if looks_like_photo(head):
        return False
    return True if is_video(entry.name, head) else None
