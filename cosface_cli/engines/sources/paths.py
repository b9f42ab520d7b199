"""Photos and videos named one by one: a list on standard input, or a single file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from cosface_cli.engines.sources import EVERY, Asked, File, Item, Listing
from cosface_cli.engines.sources.folder import PHOTOS
from cosface_cli.engines.sources.video import frames, is_video
from cosface_cli.errors import CosfaceError


def list_stdin(asked: Asked) -> Listing | None:
    """The paths on standard input, for "-"."""
    if asked.source != "-":
        return None
    return list_paths(split_paths(sys.stdin.buffer.read()), asked.root, asked.every)


def list_file(asked: Asked) -> Listing | None:
    """One file; what it is shows when it is read."""
    return list_paths([asked.source], base=asked.path.parent, every=asked.every) if asked.path.is_file() else None


def split_paths(content: bytes) -> list[str]:
    """Paths from a list: separated by NUL where there is one, else by newlines; bytes first, so that any name fits."""
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(part) for part in content.split(separator) if part]


def stream_paths(stream: BinaryIO) -> Iterator[str]:
    """The same from a stream, each path as soon as it is there; what comes first tells the separator."""
    rest, separator = b"", b""
    while content := os.read(stream.fileno(), 1 << 16):
        rest += content
        if not separator:
            separator = b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else b""
        if separator:
            *parts, rest = rest.split(separator)
            yield from (os.fsdecode(part) for part in parts if part)
    if rest:
        yield os.fsdecode(rest)


def list_paths(paths: Iterable[str], base: Path | None = None, every: float = EVERY) -> Listing:
    """A listing in the order given; a path that comes twice is taken once, and a video gives its frames.

    base: the folder that names are relative to; by default they are relative to the working folder, and a path from
    elsewhere is named from the root of the file system. Raises CosfaceError where that gives two files one name.
    """
    files: dict[str, str] = {}
    again = 0
    for given in paths:
        name = _name(given, base)
        again += name in files
        before = files.setdefault(name, given)
        if os.path.abspath(before) != os.path.abspath(given):  # noqa: PTH100
            raise CosfaceError(f"{before} and this would both be called {name}", given, "start elsewhere")
    items: list[Item] = []
    videos = 0
    for name, given in files.items():
        path = Path(given)
        video = _is_video(path)
        videos += video
        items += frames(name, path, given, every) if video else [Item(name, File(path), given)]
    notes = (f"{again} paths came twice and were taken once",) if again else ()
    return Listing(base or Path(), tuple(items), notes, videos)


def _is_video(path: Path) -> bool:
    if path.suffix.lower() in PHOTOS or not path.is_file():
        return False
    try:
        with path.open("rb") as handle:
            return is_video(path.name, handle.read(256))
    except OSError:  # reading it says what is wrong
        return False


def _name(given: str, base: Path | None) -> str:
    path = os.path.relpath(given, base) if base is not None else os.path.normpath(given)
    if os.path.isabs(path) or Path(path).parts[:1] == (os.pardir,):  # noqa: PTH117
        path = os.path.abspath(given).lstrip(os.sep)  # noqa: PTH100
    return Path(path).as_posix()
