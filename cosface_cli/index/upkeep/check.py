"""Whether an index is whole: its files, its rows, that each can find itself, and that its stores say the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.index.forgotten import forgotten_faces
from cosface_cli.artifacts.index.index_folder import check_sums
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.index.build import require_alike
from cosface_cli.index.forget.plan import require_forgotten
from cosface_cli.index.gallery import Gallery, Part
from cosface_cli.index.keys import faces_of, found_in
from cosface_cli.index.segments import BLOCK
from cosface_cli.index.upkeep import CheckConfig, CheckReport
from cosface_cli.maths.unit_vectors import are_unit
from cosface_cli.outcomes import OnOutcome, Progress, ignore

_BATCH = 256


def check(config: CheckConfig, emit: OnOutcome = ignore) -> CheckReport:
    """Check the files' content, the rows of every segment, and that rows find themselves, or one with the same vector,
    as the index is searched; then compare with the stores that it was built from, so far as they are there.

    Raises CosfaceError for what is no index; everything else that is wrong is told in the report.
    """
    problems: list[str] = []
    try:
        gallery = Gallery(config.index)
        require_forgotten(config.index)
    except DamagedError as error:
        return CheckReport(str(config.index), False, 0, 0, 0, 0, (str(error),))
    except CosfaceError as error:
        if not config.index.is_dir() or "no index" in error.problem:
            raise
        return CheckReport(str(config.index), False, 0, 0, 0, 0, (str(error),))
    problems += [f"{name}: its content is not what was written" for name in check_sums(config.index, gallery.header)]
    for part in gallery.parts:
        problems += _rows(part, gallery.header.mapped is None)
    ends = [int(part.rows.ids[at]) for part in gallery.parts for at in (0, -1)]
    if any(first <= last for last, first in zip(ends[1::2], ends[2::2], strict=False)):
        problems.append("ids do not ascend from segment to segment")
    searched, found = _find_themselves(gallery, config.rows, emit)
    if found < searched:
        problems.append(f"{searched - found} of {searched} rows do not find themselves")
    compared = 0
    for path in dict.fromkeys([*map(Path, gallery.header.stores), *(path.absolute() for path in config.stores)]):
        if path.is_file() or path in config.stores:
            compared += _compare(gallery, path, problems)
    return CheckReport(str(config.index), not problems, len(gallery), searched, found, compared, tuple(problems))


def _rows(part: Part, own_keys: bool) -> Iterator[str]:
    """What is wrong with the rows of a segment."""
    name = part.rows.path.name
    if len(part) and (np.diff(part.rows.ids) <= 0).any():
        yield f"{name}: ids do not ascend"
    try:
        for low in range(0, len(part), BLOCK):
            high = min(low + BLOCK, len(part))
            if not are_unit(part.vectors.between(low, high)).all():
                yield f"{part.vectors.path.name}: vectors that are not of unit length"
            if own_keys and not (part.rows.columns(low, high).keys() == part.rows.keys[low:high]).all():
                yield f"{name}: keys that are not of their rows"
    except DamagedError as error:
        yield str(error)


def _find_themselves(gallery: Gallery, wanted: int, emit: OnOutcome) -> tuple[int, int]:
    count = len(gallery) if wanted == 0 else min(wanted, len(gallery))
    numbers = np.unique(np.linspace(0, max(0, len(gallery) - 1), count).astype(np.int64))
    found = 0
    for low in range(0, len(numbers), _BATCH):
        own = numbers[low : low + _BATCH]
        vectors = gallery.vectors(own)
        nearest = gallery.search(vectors, 1)[1][:, 0]
        # one with the same vector may stand before it
        found += int(((nearest == own) | (gallery.vectors(nearest) == vectors).all(1)).sum())
        emit(Progress(min(low + _BATCH, len(numbers)), len(numbers)))
    return len(numbers), found


def _compare(gallery: Gallery, path: Path, problems: list[str]) -> int:
    """Whether the rows of a store are in the index, with the same vectors; gives how many it has."""
    if gallery.header.mapped is not None:
        return 0  # the vectors are not the store's
    keys = np.concatenate([np.zeros(0, "S24"), *(part.rows.keys for part in gallery.parts)])
    order = np.argsort(keys)
    ordered = keys[order]
    out = forgotten_faces(gallery.root)
    missing = other = 0
    with Store(path) as store:
        require_alike(gallery.header, store.header, path, gallery.root)
        for low in range(0, len(store), BLOCK):
            high = min(low + BLOCK, len(store))
            columns, vectors = store.columns(low, high), store.vectors(low, high)
            own = columns.keys()
            known = found_in(own, ordered)
            good = are_unit(vectors)
            kept_out = found_in(faces_of(own), out)
            missing += int((~known & good & ~kept_out).sum())
            numbers = order[np.searchsorted(ordered, own[known])]
            other += int((gallery.vectors(numbers) != vectors[known]).any(1).sum())
        count = len(store)
    if missing:
        problems.append(f"{path}: {missing} of its rows are not in the index; cosface index build takes them in")
    if other:
        problems.append(f"{path}: {other} of its rows have other vectors in the index")
    return count
