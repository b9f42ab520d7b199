"""Photos and videos named one by one: a list on standard input, or a single file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from cosface_cli.engines.sources import EVERY, File, Item, Listing, SourceRequest
from cosface_cli.engines.sources.folder import PHOTOS
from cosface_cli.engines.sources.video import frames, is_video
from cosface_cli.errors import CosfaceError


def list_stdin(request: SourceRequest) -> Listing | None:
    """The paths on standard input, for "-"."""
    if request.source != "-":
        return None
    return list_paths(split_paths(sys.stdin.buffer.read()), request.root, request.every)


def list_file(request: SourceRequest) -> Listing | None:
    """One file. Whether it is a photo is known when it is read."""
    return (
        list_paths([request.source], base=request.path.parent, every=request.every) if request.path.is_file() else None
    )


def split_paths(content: bytes) -> list[str]:
    """Paths from a list, separated by NUL if there is one, else by newlines. They may be any bytes."""
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(part) for part in content.split(separator) if part]


def stream_paths(stream: BinaryIO) -> Iterator[str]:
    """The same from a stream, each path as soon as it was read. The first separator that appears is the separator."""
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
    """The photos in the order of their paths. A repeated path counts once; a video gives its frames.

    base: the folder that names are relative to, by default the working folder. A path outside it is named from the
    root of the file system. Raises CosfaceError where two files would get the same name.
    """
    files: dict[str, str] = {}
    repeated = 0
    for display_name in paths:
        name = _name(display_name, base)
        repeated += name in files
        first = files.setdefault(name, display_name)
        if os.path.abspath(first) != os.path.abspath(display_name):  # noqa: PTH100
            raise CosfaceError(
                f"this and {first} would both be named {name}", display_name, "run the command in another folder"
            )
    items: list[Item] = []
    videos = 0
    for name, display_name in files.items():
        path = Path(display_name)
        video = _is_video(path)
        videos += video
        items += frames(name, path, display_name, every) if video else [Item(name, File(path), display_name)]
    notes = (f"{repeated} repeated paths were skipped",) if repeated else ()
    return Listing(root=base or Path(), items=tuple(items), notes=notes, videos=videos)


def _is_video(path: Path) -> bool:
    if path.suffix.lower() in PHOTOS or not path.is_file():
        return False
    try:
        with path.open("rb") as handle:
            return is_video(path.name, handle.read(256))
    except OSError:  # reading it reports what is wrong
        return False


def _name(display_name: str, base: Path | None) -> str:
    path = os.path.relpath(display_name, base) if base is not None else os.path.normpath(display_name)
    if os.path.isabs(path) or Path(path).parts[:1] == (os.pardir,):  # noqa: PTH117
        path = os.path.abspath(display_name).lstrip(os.sep)  # noqa: PTH100
    return Path(path).as_posix()
