"""Which rows of an index are searched: those of some identities or sources, or of photos since a day."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from fnmatch import translate

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import decode, encode
from cosface_cli.errors import CosfaceError
from cosface_cli.index.gallery import Gallery
from cosface_cli.registry import one_of

FIELDS = ("identity", "source")
_BLOCK = 1 << 16


def chosen(gallery: Gallery, filters: Sequence[str], since: str | None) -> NDArray[np.int64] | None:
    """Numbers of the rows that pass, ascending; None for all.

    filters: FIELD=PATTERN, where * and ? stand for any characters; of one field any may hold, of several fields each
    must. since: a date or time as in ISO 8601, of this machine's zone where it names none: rows of photos that were
    changed last before it, or nobody knows when, do not pass. Raises CosfaceError for anything else.
    """
    if not filters and since is None:
        return None
    patterns: dict[str, list[str]] = {}
    for given in filters:
        name, equals, pattern = given.partition("=")
        if not equals:
            raise CosfaceError(f"--filter {given!r} names no field", hint="write --filter identity=NAME")
        one_of(name, FIELDS, "--filter")
        patterns.setdefault(name, []).append(pattern)
    start = None if since is None else _nanoseconds(since)
    found = []
    for part in gallery.parts:
        passes = np.ones(len(part), bool)
        if "identity" in patterns:
            matching = _Matcher(patterns["identity"])
            table = np.array([matching(name) for name in part.rows.table("identity")] + [False])  # -1: none
            passes &= table[part.rows.identity_codes]
        if "source" in patterns:
            matching = _Matcher(patterns["source"])
            for low in range(0, len(part), _BLOCK):
                names = part.rows.sources(low, min(low + _BLOCK, len(part)))
                passes[low : low + _BLOCK] &= np.array([matching(name) for name in names], bool)
        if start is not None:
            passes &= part.rows.times >= start
        found.append(np.flatnonzero(passes).astype(np.int64) + part.start)
    return np.concatenate([np.zeros(0, np.int64), *found])


class _Matcher:
    """Whether a name is one of the patterns, as it is written or with its wildcards."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._exact = {encode(pattern) for pattern in patterns}
        self._wild = [re.compile(translate(pattern)) for pattern in patterns if set(pattern) & set("*?[")]

    def __call__(self, name: bytes) -> bool:
        return name in self._exact or any(pattern.match(decode(name)) for pattern in self._wild)


def _nanoseconds(since: str) -> int:
    try:
        return int(datetime.fromisoformat(since).timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError, OSError):
        raise CosfaceError(f"--since {since!r} is no date", hint="write 2026-01-31 or 2026-01-31T18:00") from None
