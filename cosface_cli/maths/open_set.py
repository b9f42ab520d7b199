"""One against many: ranks, and the open set with its two kinds of error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.maths.rates import allowed_accepts, impostors_needed


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Searches at the lowest threshold where at most `fpir` of the unmated ones find anybody.

    tpir: share of the mated searches whose own person is among the first `rank` with a score that reaches it;
    achieved_fpir: what it is there; None where the unmated searches cannot resolve it: unmated_needed then says how
    many can. mated, unmated: how many searches there are.
    """

    fpir: float
    rank: int
    tpir: float | None
    threshold: float | None
    mated: int
    unmated: int
    achieved_fpir: float | None = None
    unmated_needed: int | None = None


def ranks(scores: ArrayLike, gallery: ArrayLike, probes: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of scores (P, G) of probes against a gallery: each probe's rank of its own person, from 1, and that score.

    gallery: (G,) and probes: (P,) identities, each at most once in the gallery; rank 0 and score -inf for a probe
    that has nobody there. Whoever scores the same stands before one's own person: ties are not won.
    """
    values, people = np.asarray(scores, np.float64), np.asarray(gallery)
    mate = np.asarray(probes)[:, None] == people[None, :]  # (P, G)
    mated = mate.any(axis=1)
    own = np.where(mate, values, -np.inf).max(axis=1, initial=-np.inf)
    before = ((values >= own[:, None]) & ~mate).sum(axis=1)
    return np.where(mated, before + 1, 0), np.where(mated, own, -np.inf)


def open_set(rank: ArrayLike, own: ArrayLike, unmated_best: ArrayLike, fpir: float, within: int = 20) -> OpenSet:
    """TPIR at an FPIR (Klare 2015, section 4.2: the mate among the first 20 and over the threshold).

    rank, own: (M,) of the mated searches, as ranks gives them; unmated_best: (U,) each unmated search's highest score.
    """
    places, mates = np.asarray(rank), np.asarray(own, np.float64)
    best = np.sort(np.asarray(unmated_best, np.float64))[::-1]
    allowed = allowed_accepts(fpir, best.size)
    if allowed < 1 or not mates.size:
        needed = impostors_needed(fpir) if allowed < 1 else None
        return OpenSet(fpir, within, None, None, int(mates.size), int(best.size), unmated_needed=needed)
    limit = float(np.nextafter(best[allowed], np.inf)) if allowed < best.size else float(best[-1])
    found = (places <= within) & (mates >= limit)
    return OpenSet(
        fpir, within, float(found.mean()), limit, int(mates.size), int(best.size), float((best >= limit).mean())
    )
