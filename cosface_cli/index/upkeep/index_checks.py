"""Checks of an index: the rows of its segments, searches that must find a row itself, and the stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.index.forgotten import forgotten_faces
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.errors import DamagedError
from cosface_cli.index.build.row_keys import face_keys, is_in
from cosface_cli.index.build.segments import BLOCK
from cosface_cli.index.search.gallery import Gallery, GalleryPart
from cosface_cli.maths.unit_vectors import are_unit
from cosface_cli.outcomes import OnOutcome, Progress

_PROBES = 256  # rows searched for at a time


def row_problems(gallery: Gallery) -> Iterator[str]:
    """Problems with ids, vectors and keys."""
    for part in gallery.parts:
        yield from _part_problems(part, keys_are_of_rows=gallery.header.mapped is None)
    ends = [int(part.rows.ids[at]) for part in gallery.parts for at in (0, -1)]
    if any(first <= last for last, first in zip(ends[1::2], ends[2::2], strict=False)):
        yield "ids do not ascend from segment to segment"


def count_rows_that_find_themselves(gallery: Gallery, count: int, emit: OnOutcome) -> tuple[int, int]:
    """How many rows were searched for (`count`, evenly spaced; 0: all), and how many searches found the row itself or a
    row with the same vector."""
    count = len(gallery) if count == 0 else min(count, len(gallery))
    numbers = np.unique(np.linspace(0, max(0, len(gallery) - 1), count).astype(np.int64))
    successes = 0
    for low in range(0, len(numbers), _PROBES):
        rows = numbers[low : low + _PROBES]
        vectors = gallery.vectors(rows)
        nearest = gallery.search(vectors, 1)[1][:, 0]
        # of rows with equal vectors the first is found
        successes += int(((nearest == rows) | (gallery.vectors(nearest) == vectors).all(1)).sum())
        emit(Progress(min(low + _PROBES, len(numbers)), len(numbers)))
    return len(numbers), successes


def compare_with_store(gallery: Gallery, path: Path, problems: list[str]) -> int:
    """Add a problem if rows of a store are not in the index with the same vectors; returns the number of rows compared.

    An index whose vectors were mapped from another model's (`index migrate`) is not compared. Raises ModelMismatch.
    """
    if gallery.header.mapped is not None:
        return 0
    keys = np.concatenate([np.zeros(0, "S24"), *(part.rows.keys for part in gallery.parts)])
    order = np.argsort(keys)
    sorted_keys = keys[order]
    forgotten = forgotten_faces(gallery.root)
    missing = different = 0
    with Store(path) as store:
        store.model.require_same(gallery.header.identity, path)
        for block in store.blocks(BLOCK):
            store_keys = block.columns.keys()
            is_known = is_in(store_keys, sorted_keys)
            is_expected = block.unit & ~is_in(face_keys(store_keys), forgotten)
            missing += int((~is_known & is_expected).sum())
            numbers = order[np.searchsorted(sorted_keys, store_keys[is_known])]
            different += int((gallery.vectors(numbers) != block.vectors[is_known]).any(1).sum())
        count = len(store)
    if missing:
        problems.append(f"{path}: {missing} of its rows are not in the index; cosface index build adds them")
    if different:
        problems.append(f"{path}: {different} of its rows have other vectors in the index")
    return count


def _part_problems(part: GalleryPart, keys_are_of_rows: bool) -> Iterator[str]:
    name = part.rows.path.name
    if len(part) and (np.diff(part.rows.ids) <= 0).any():
        yield f"{name}: ids do not ascend"
    try:
        for low in range(0, len(part), BLOCK):
            high = min(low + BLOCK, len(part))
            if not are_unit(part.vectors.block(low, high)).all():
                yield f"{part.vectors.path.name}: vectors are not of unit length"
            if keys_are_of_rows and not (part.rows.columns(low, high).keys() == part.rows.keys[low:high]).all():
                yield f"{name}: keys do not belong to their rows"
    except DamagedError as error:
        yield str(error)
