"""Photos with the same content, by hash. They are reported; each of them still gets its crops."""

from __future__ import annotations

from collections.abc import Iterable


def duplicates_note(photos: Iterable[tuple[str, str]]) -> str | None:
    """A sentence that counts the photos whose content an earlier photo has; None if there are none.

    photos: the name and the content hash of each.
    """
    first: dict[str, str] = {}
    count, example = 0, ""
    for name, digest in photos:
        if digest not in first:
            first[digest] = name
            continue
        count += 1
        example = example or f"{name} and {first[digest]}"
    if not count:
        return None
    if count == 1:
        return f"1 photo has the same content as another: {example}"
    return f"{count} photos have the same content as another, for example {example}"
