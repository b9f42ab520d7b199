"""Every pair of faces: those of one identity are genuine, all others impostors."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.engines.counting.all_pairs import PairCounts, Read, count_all_pairs
from cosface_cli.engines.photos.pair_photos import stem
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bootstrap import Draws, Listed, affordable_draws, pair_draws, pairs_between
from cosface_cli.maths.histogram import curve_of_bins
from cosface_cli.maths.unit_vectors import are_unit
from cosface_cli.outcomes import Done, Note, OnOutcome, Rejected
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces.by_name import file_line, is_store, open_faces, require_asked
from cosface_cli.verify.figures.pair_scores import Scored
from cosface_cli.verify.figures.rates_by_far import FARS
from cosface_cli.verify.protocols.listed_pairs import first_level, names_in

CHUNK = 8192  # rows checked at a time
SLACK = 1.5  # how many more impostors than a FAR lets pass are kept for its draws


def score(config: ProtocolConfig, emit: OnOutcome) -> Scored:
    """The curve of all pairs: of a store, read block by block, or of photos or crops, embedded first.

    With a list of pairs only the faces that it names are taken. Rows without an identity, or that are no unit vectors,
    are left out and said. Raises CosfaceError where there are not both genuine and impostor pairs.
    """
    wanted = None if config.pairs is None else names_in(config.pairs)
    with ExitStack() as open_files:
        if is_store(config.source):
            require_finished(config.source)
            store = open_files.enter_context(Store(config.source))
            require_asked(store.header, config.source, config)
            source = _of_store(store, wanted, emit)
        else:
            source = _of_photos(config, wanted, emit)
        held = np.bincount(source.codes)
        if held.size < 2 or held.max() < 2:
            words = "all faces are of one identity" if held.size == 1 else "no identity has two faces"
            raise CosfaceError(words, config.source, "give each person a folder of several photos")
        counts = count_all_pairs(source.read, source.codes, emit, config.workers)
    emit(Done(str(config.source)))
    return Scored(
        *source.header,
        source.data,
        curve=curve_of_bins(counts.genuine, counts.impostors),
        draws=_draws(counts, held),
        missing=source.missing,
        list_hash=None if config.pairs is None else file_sha256(config.pairs),
        details={"faces": len(source.codes), "identities": int(held.size)},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """read: vectors start to stop; codes: (N,) identities from 0; header: model, its id, flip."""

    read: Read
    codes: NDArray[np.int64]
    missing: tuple[str, ...]
    data: str
    header: tuple[str, str, str]


def _of_store(store: Store, wanted: Collection[str] | None, emit: OnOutcome) -> _Source:
    numbers, codes, missing = [], [], []
    known: dict[str, int] = {}
    digest = hashlib.sha256()
    nameless = several = 0
    for low in range(0, len(store), CHUNK):
        high = min(low + CHUNK, len(store))
        good = are_unit(store.vectors(low, high))
        for number, row in enumerate(store.rows(low, high), low):
            if wanted is not None and row.source not in wanted and stem(row.source) not in wanted:
                continue
            digest.update(file_line(row.source, row.hash))
            several += row.face > 1
            if row.identity is None:
                nameless += 1
            elif not good[number - low]:
                missing.append(row.source)
                emit(Rejected(row.source, "bad_embedding", f"{row.source}: its embedding is not of unit length"))
            else:
                numbers.append(number)
                codes.append(known.setdefault(row.identity, len(known)))
    if several:
        emit(Note(f"{several} faces are not the only ones of their photo: each counts for the folder's person"))
    _say_nameless(nameless, emit)
    rows = np.array(numbers, np.int64)

    def read(start: int, stop: int) -> NDArray[np.float32]:
        first, last = int(rows[start]), int(rows[stop - 1])
        return store.vectors(first, last + 1)[rows[start:stop] - first]

    have = store.header
    header = (have.model, have.model_id, have.flip)
    return _Source(read, np.array(codes, np.int64), tuple(missing), digest.hexdigest(), header)


def _of_photos(config: ProtocolConfig, wanted: Collection[str] | None, emit: OnOutcome) -> _Source:
    faces = open_faces(config, config.source)
    listed = [name for name in faces.names if wanted is None or name in wanted or stem(name) in wanted]
    names = [name for name in listed if first_level(name)]
    _say_nameless(len(listed) - len(names), emit)
    embedded = faces.embed(names, emit)
    vectors = embedded.vectors
    there: NDArray[np.bool_] = np.isfinite(vectors[:, 0])
    known: dict[str, int] = {}
    codes = [known.setdefault(first_level(name), len(known)) for name, has in zip(names, there, strict=True) if has]
    kept = vectors[there]
    header = (faces.model, faces.model_id, faces.flip)
    return _Source(lambda a, b: kept[a:b], np.array(codes, np.int64), embedded.missing, embedded.data, header)


def _say_nameless(count: int, emit: OnOutcome) -> None:
    if count:
        emit(Note(f"{count} faces lie in no person's folder and are left out"))


def _draws(counts: PairCounts, held: NDArray[np.int64]) -> Draws | None:
    """The bootstrap from all genuine pairs and the highest impostor ones, for the FARs that those reach."""
    genuine, top = counts.genuine_pairs, counts.top
    if genuine is None:
        return None
    total = int(counts.impostors.sum())
    reached = [far for far in FARS if far * total * SLACK <= len(top.scores) or total == len(top.scores)]
    most = int(max(reached) * total * SLACK) + 1 if reached else 0
    kept = np.argsort(-top.scores, kind="stable")[: total if total == len(top.scores) else most]
    scores = np.concatenate([genuine.scores, top.scores[kept]])
    draws = affordable_draws(len(scores))
    if not reached or not draws:
        return None
    same = np.arange(len(scores)) < len(genuine.scores)
    left = np.concatenate([genuine.left, top.left[kept]])
    right = np.concatenate([genuine.right, top.right[kept]])
    listed = Listed(held.size, lambda weight: pairs_between(weight * held))
    return pair_draws(scores, same, left, right, FARS, draws, listed=listed)
