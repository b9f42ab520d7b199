"""Filters of the searched rows: by identity, by source, or by the time when a photo was last changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from fnmatch import translate

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import decode, encode
from cosface_cli.errors import CosfaceError
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.registry import require_one_of

FIELDS = ("identity", "source")
_BLOCK = 1 << 16


def filtered_rows(gallery: Gallery, filters: Sequence[str], since: str | None) -> NDArray[np.int64] | None:
    """Numbers of the rows that pass, ascending; None for all rows.

    filters: FIELD=PATTERN, where * and ? are wildcards. A row passes if, for each field, one of its patterns matches.
    since: a date or time in ISO 8601, in local time if it has no time zone. Rows of photos that were last changed
    before it, or at an unknown time, do not pass. Raises CosfaceError for other values.
    """
    if not filters and since is None:
        return None
    patterns = _patterns(filters)
    start = None if since is None else _nanoseconds(since)
    numbers = []
    for part in gallery.parts:
        passes = np.ones(len(part), bool)
        if "identity" in patterns:
            matches = _NameMatcher(patterns["identity"])
            matching = np.array([matches(name) for name in part.rows.table("identity")] + [False])  # [-1]: no identity
            passes &= matching[part.rows.identity_codes]
        if "source" in patterns:
            matches = _NameMatcher(patterns["source"])
            for low in range(0, len(part), _BLOCK):
                names = part.rows.sources(low, min(low + _BLOCK, len(part)))
                passes[low : low + _BLOCK] &= np.array([matches(name) for name in names], bool)
        if start is not None:
            passes &= part.rows.times >= start
        numbers.append(np.flatnonzero(passes).astype(np.int64) + part.start)
    return np.concatenate([np.zeros(0, np.int64), *numbers])


def _patterns(filters: Sequence[str]) -> dict[str, list[str]]:
    """The patterns of each field."""
    patterns: dict[str, list[str]] = {}
    for text in filters:
        field, equals, pattern = text.partition("=")
        if not equals:
            raise CosfaceError(f"--filter must be FIELD=PATTERN, got {text!r}", hint="write --filter identity=NAME")
        require_one_of(field, FIELDS, "--filter")
        patterns.setdefault(field, []).append(pattern)
    return patterns


class _NameMatcher:
    """Whether a name equals one of the patterns, or matches its wildcards."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._exact = {encode(pattern) for pattern in patterns}
        self._wildcards = [re.compile(translate(pattern)) for pattern in patterns if set(pattern) & set("*?[")]

    def __call__(self, name: bytes) -> bool:
        return name in self._exact or any(pattern.match(decode(name)) for pattern in self._wildcards)


def _nanoseconds(since: str) -> int:
    try:
        return int(datetime.fromisoformat(since).timestamp() * 1_000_000) * 1000
    except (ValueError, OverflowError, OSError):
        raise CosfaceError(
            f"--since must be a date or time in ISO 8601, got {since!r}", hint="write 2026-01-31 or 2026-01-31T18:00"
        ) from None
