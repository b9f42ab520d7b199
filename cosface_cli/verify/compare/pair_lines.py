"""Pairs of names that nobody has judged yet: on standard input, or in a list without a column for that."""

from __future__ import annotations

import json
import os
from pathlib import Path

from cosface_cli.artifacts.lists.pair_table import list_kind, read_pair_rows
from cosface_cli.errors import CosfaceError

_SHAPE = 'write A<TAB>B, {"left": A, "right": B}, or all names with NUL behind each'


def split_pairs(content: bytes) -> list[tuple[str, str]]:
    """The pairs in a list; bytes first, so that any name fits where NUL separates.

    Raises CosfaceError for an empty list, and naming the line that is no pair.
    """
    if b"\0" in content:
        names = [os.fsdecode(part) for part in content.removesuffix(b"\0").split(b"\0")]
        if len(names) % 2 or not all(names):
            raise CosfaceError(f"standard input: {len(names)} names by NUL are no pairs", hint=_SHAPE)
        return list(zip(names[::2], names[1::2], strict=True))
    lines = [(number, line.removesuffix(b"\r")) for number, line in enumerate(content.split(b"\n"), 1)]
    pairs = [_pair(line, number) for number, line in lines if line.strip()]
    if not pairs:
        raise CosfaceError("no pairs on standard input", hint=_SHAPE)
    return pairs


def unjudged_pairs(listed: Path, root: Path | None) -> list[tuple[str, str]] | None:
    """The pairs of a list with named columns that says of none whether they are the same; None of any other list.

    root: what their names are relative to, None: they stay as they are. Raises CosfaceError for a damaged list.
    """
    if list_kind(listed) != "csv":
        return None
    rows = read_pair_rows(listed)
    if any(row.same is not None or row.score is not None or not row.left for row in rows):
        return None
    sides = [(row.left, row.right) for row in rows]
    return sides if root is None else [(str(root / left), str(root / right)) for left, right in sides]


def _pair(line: bytes, number: int) -> tuple[str, str]:
    words: list[object] = [os.fsdecode(word) for word in line.split(b"\t")]
    if line.lstrip().startswith(b"{"):
        try:
            found = json.loads(line)
            words = [found["left"], found["right"]]
        except (ValueError, KeyError, RecursionError):
            words = []
    if len(words) != 2 or not all(isinstance(word, str) and word for word in words):
        raise CosfaceError(f"standard input: line {number} is no pair", hint=_SHAPE)
    left, right = words
    return str(left), str(right)
