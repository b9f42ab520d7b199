"""Photos that are the same file twice, by the hash of their content: told, and kept."""

from __future__ import annotations

from collections.abc import Iterable


def doubles_note(photos: Iterable[tuple[str, str]]) -> str | None:
    """A sentence on the photos, given as name and content hash, whose content an earlier one has; None without any."""
    first: dict[str, str] = {}
    count, example = 0, ""
    for name, digest in photos:
        if digest not in first:
            first[digest] = name
            continue
        count += 1
        example = example or f"{name} as {first[digest]}"
    if not count:
        return None
    has = "1 photo has" if count == 1 else f"{count} photos have"
    return f"{has} the same content as another: {example}" + (", for one" if count > 1 else "")
