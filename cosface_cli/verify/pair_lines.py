"""Pairs of names from a list: lines of A<TAB>B, lines of JSON, or names by NUL."""

from __future__ import annotations

import json
import os

from cosface_cli.errors import CosfaceError

_SHAPE = 'write A<TAB>B, {"left": A, "right": B}, or all names with NUL behind each'


def split_pairs(content: bytes) -> list[tuple[str, str]]:
    """The pairs in a list; bytes first, so that any name fits where NUL separates.

    Raises CosfaceError for an empty list, and naming the line that is no pair.
    """
    if b"\0" in content:
        names = [os.fsdecode(part) for part in content.removesuffix(b"\0").split(b"\0")]
        if len(names) % 2 or not all(names):
            raise CosfaceError(f"standard input: {len(names)} names by NUL are no pairs", mend=_SHAPE)
        return list(zip(names[::2], names[1::2], strict=True))
    lines = [(number, line.removesuffix(b"\r")) for number, line in enumerate(content.split(b"\n"), 1)]
    pairs = [_pair(line, number) for number, line in lines if line.strip()]
    if not pairs:
        raise CosfaceError("no pairs on standard input", mend=_SHAPE)
    return pairs


def _pair(line: bytes, number: int) -> tuple[str, str]:
    words: list[object] = [os.fsdecode(word) for word in line.split(b"\t")]
    if line.lstrip().startswith(b"{"):
        try:
            found = json.loads(line)
            words = [found["left"], found["right"]]
        except (ValueError, KeyError, RecursionError):
            words = []
    if len(words) != 2 or not all(isinstance(word, str) and word for word in words):
        raise CosfaceError(f"standard input: line {number} is no pair", mend=_SHAPE)
    left, right = words
    return str(left), str(right)
