"""Photos of a test set that are a copy or a mirror image of one in the training set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.engines.photos.copy_detection import Thumbnail, copy_kind
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.verify.compare.photo_warnings import Seen
from cosface_cli.verify.faces.photos import Photos
from cosface_cli.verify.leakage.search import Found
from cosface_cli.verify.leakage.tested import Face


def copies_of(
    test: Sequence[Face], found: Found, photos: Photos | None, emit: OnOutcome
) -> dict[int, tuple[str, float, Row]]:
    """By test face, what it is of a photo in the training set: a copy, or its mirror image."""
    asked = {number: near for number, near in found.near.items() if number not in found.files}
    if photos is None or not asked:
        if asked:
            emit(Note("photos are not compared by look: name the stores' weights with --model"))
        return {}
    paths = dict.fromkeys(test[number].path for number in asked)
    paths.update(dict.fromkeys(_path(row) for near in asked.values() for _, row, _ in near))
    there = [path for path in paths if Path(path).is_file()]
    if len(there) < len(paths):
        emit(Note(f"{len(paths) - len(there)} of {len(paths)} photos to look at are gone, or lie in archives"))
    seen = {one.name: one for one in photos.each(photos.named(there))}
    out: dict[int, tuple[str, float, Row]] = {}
    for number, near in asked.items():
        one = _look(seen.get(test[number].path), test[number].vector)
        for cos, row, vector in near:
            other = _look(seen.get(_path(row)), vector)
            kind = copy_kind(one, other) if one is not None and other is not None else None
            if kind is not None:
                out[number] = (kind, cos, row)
                break
    return out


def _look(seen: Seen | None, vector: NDArray[np.float32]) -> Thumbnail | None:
    """How a face looks; of several in a photo the one with that vector."""
    if seen is None or not seen.usable or seen.vectors.thumbnails is None or seen.vectors.vectors is None:
        return None
    return np.asarray(seen.vectors.thumbnails[int(np.argmax(seen.vectors.vectors @ vector))])


def _path(row: Row) -> str:
    return str(Path(row.root) / row.source)
