"""Every pair of the faces of a store: those of one identity are genuine, all others impostors."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store import Store
from cosface_cli.artifacts.store_series import require_finished
from cosface_cli.engines.all_pairs import PairCounts, count_all_pairs
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bootstrap import Draws, affordable_draws, pair_draws
from cosface_cli.maths.histogram import curve_of_bins
from cosface_cli.outcomes import Note, Rejected, Tell
from cosface_cli.verify import ProtocolConfig
from cosface_cli.verify.faces import file_line, is_store
from cosface_cli.verify.figures import FARS
from cosface_cli.verify.scores import Scored

CHUNK = 8192  # rows checked at a time
UNIT = 1e-3  # how far from 1 the length of a stored vector may be
SLACK = 1.5  # how many more impostors than a FAR lets pass are kept for its draws
PHOTOS_ONLY = ("pairs", "model", "flip", "crops_template", "detector", "faces", "min_face")


def score(config: ProtocolConfig, tell: Tell) -> Scored:
    """The curve of all pairs. Rows without an identity, or that are no unit vectors, are left out and said.

    Raises CosfaceError where there are not both genuine and impostor pairs.
    """
    path = config.source
    if not is_store(path):
        raise CosfaceError("all pairs are taken of a store", path, "make one: cosface embed PHOTOS faces.h5")
    for option in sorted(config.changed() & set(PHOTOS_ONLY)):
        flag = "--" + option.replace("crops_", "").replace("_", "-")
        raise CosfaceError(f"{flag} changes nothing about a store's pairs", path, "leave it out")
    require_finished(path)
    with Store(path) as store:
        rows, codes, missing, data = _faces(store, tell)
        held = np.bincount(codes)
        genuine = int((held * (held - 1) // 2).sum())
        if not genuine or held.size < 2:
            words = "no identity has two faces" if not genuine else "all faces are of one identity"
            raise CosfaceError(words, path, "embed a folder with sub-folders of several photos for each person")

        def read(start: int, stop: int) -> NDArray[np.float32]:
            first, last = int(rows[start]), int(rows[stop - 1])
            return store.vectors(first, last + 1)[rows[start:stop] - first]

        counts = count_all_pairs(read, codes, tell, config.workers)
        header = store.header
    return Scored(
        header.model,
        header.model_id,
        header.flip,
        data,
        curve=curve_of_bins(counts.genuine, counts.impostors),
        draws=_draws(counts, held),
        missing=missing,
        details={"faces": len(codes), "identities": int(held.size)},
    )


def _faces(store: Store, tell: Tell) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...], str]:
    """Rows that are compared, rising, their identity codes from 0, names of those left out, a hash of all."""
    numbers, codes, missing = [], [], []
    known: dict[str, int] = {}
    digest = hashlib.sha256()
    nameless = several = 0
    for low in range(0, len(store), CHUNK):
        high = min(low + CHUNK, len(store))
        lengths = np.linalg.norm(store.vectors(low, high).astype(np.float64), axis=1)
        for number, row in enumerate(store.rows(low, high), low):
            digest.update(file_line(row.source, row.hash))
            several += row.face > 1
            if row.identity is None:
                nameless += 1
            elif not abs(lengths[number - low] - 1) < UNIT:
                missing.append(row.source)
                tell(Rejected(row.source, "bad_embedding", f"{row.source}: its embedding is not of unit length"))
            else:
                numbers.append(number)
                codes.append(known.setdefault(row.identity, len(known)))
    if nameless:
        tell(Note(f"{nameless} faces lie in no person's folder and are left out"))
    if several:
        tell(Note(f"{several} faces are not the only ones of their photo: each counts for the folder's person"))
    return np.array(numbers, np.int64), np.array(codes, np.int64), tuple(missing), digest.hexdigest()


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
    return pair_draws(scores, same, left, right, FARS, draws, faces=held)
