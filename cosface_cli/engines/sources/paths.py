"""Photos named one by one: a list on standard input, or a single file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cosface_cli.engines.sources import Item, Listing
from cosface_cli.errors import CosfaceError


def split_paths(content: bytes) -> list[str]:
    """Paths from a list: separated by NUL where there is one, else by newlines; bytes first, so that any name fits."""
    separator = b"\0" if b"\0" in content else b"\n"
    return [os.fsdecode(part) for part in content.split(separator) if part]


def list_paths(paths: Iterable[str], base: Path | None = None) -> Listing:
    """A listing in the order given; a path that comes twice is taken once.

    base: the folder that names are relative to; by default they are relative to the working folder, and a path from
    elsewhere is named from the root of the file system. Raises CosfaceError where that gives two files one name.
    """
    items: dict[str, Item] = {}
    again = 0
    for given in paths:
        name = _name(given, base)
        again += name in items
        before = items.setdefault(name, Item(name, Path(given), given))
        if os.path.abspath(before.given) != os.path.abspath(given):  # noqa: PTH100
            raise CosfaceError(f"{before.given} and this would both be called {name}", given, "start elsewhere")
    notes = (f"{again} paths came twice and were taken once",) if again else ()
    return Listing(tuple(items.values()), notes)


def _name(given: str, base: Path | None) -> str:
    path = os.path.relpath(given, base) if base is not None else os.path.normpath(given)
    if os.path.isabs(path) or Path(path).parts[:1] == (os.pardir,):  # noqa: PTH117
        path = os.path.abspath(given).lstrip(os.sep)  # noqa: PTH100
    return Path(path).as_posix()
