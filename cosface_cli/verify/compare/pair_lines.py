"""Pairs of names without a label (same person or not): from standard input, or from a list without such a column."""

from __future__ import annotations

import json
import os
from pathlib import Path

from cosface_cli.artifacts.lists.pair_table import list_kind, read_pair_rows
from cosface_cli.errors import CosfaceError

_FORMAT = 'write A<TAB>B, {"left": A, "right": B}, or all names with NUL after each'


def split_pairs(content: bytes) -> list[tuple[str, str]]:
    """The pairs of a list. It is split as bytes, so that names may contain any bytes and are separated by NUL.

    Raises CosfaceError for an empty list, or for a line that is not a pair.
    """
    if b"\0" in content:
        names = [os.fsdecode(part) for part in content.removesuffix(b"\0").split(b"\0")]
        if len(names) % 2 or not all(names):
            problem = f"standard input: {len(names)} names separated by NUL, some of them empty or without a partner"
            raise CosfaceError(problem, hint=_FORMAT)
        return list(zip(names[::2], names[1::2], strict=True))
    lines = [(number, line.removesuffix(b"\r")) for number, line in enumerate(content.split(b"\n"), 1)]
    pairs = [_pair(line, number) for number, line in lines if line.strip()]
    if not pairs:
        raise CosfaceError("no pairs on standard input", hint=_FORMAT)
    return pairs


def unlabelled_pairs(listed: Path, root: Path | None) -> list[tuple[str, str]] | None:
    """The pairs of a list with named columns and without labels or scores; None for any other list.

    root: the folder that the names are relative to; None keeps the names. Raises CosfaceError for a damaged list.
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
            values = json.loads(line)
            words = [values["left"], values["right"]]
        except (ValueError, KeyError, RecursionError):
            words = []
    if len(words) != 2 or not all(isinstance(word, str) and word for word in words):
        raise CosfaceError(f"standard input: line {number} is not a pair", hint=_FORMAT)
    left, right = words
    return str(left), str(right)
