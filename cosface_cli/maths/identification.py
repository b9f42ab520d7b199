"""Open-set identification: is a probe of somebody enrolled, and of whom?

A search is mated where its person is enrolled. It answers with the best candidate where that one's score reaches the
threshold, and with nobody otherwise. FPIR: the share of other searches that are answered with anybody; FNIR: of mated
ones that are not answered with their own person (ISO/IEC 19795-1; Grother, FRVT part 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.maths.rates import impostors_needed
from cosface_cli.maths.roc import rate_at, threshold_at_far

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NOWHERE = np.iinfo(np.int64).max  # the rank of who is not found at any


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSet:
    """Searches at the lowest threshold where at most `fpir` of the unmated ones find anybody."""

    fpir: float
    """The requested false positive identification rate."""
    rank: int
    """How many first places count."""
    tpir: float | None
    """Share of mated searches whose own person is among the first `rank` with a score of at least `threshold`; None if
    the unmated searches cannot resolve fpir."""
    threshold: float | None
    """The score."""
    mated: int
    """Number of mated searches."""
    unmated: int
    """Number of unmated searches."""
    achieved_fpir: float | None = None
    """The rate at the threshold."""
    unmated_needed: int | None = None
    """If they cannot resolve fpir: how many could."""


def ranks(scores: ArrayLike, candidates: ArrayLike, own: ArrayLike) -> tuple[Ints, Floats]:
    """The rank (N,), from 1, of each probe's own person (N,) among its candidates (N, K), and that one's score.

    scores: (N, K). Of equal scores the own one is the last: a gallery of equals is no success. Who is not among the
    candidates has rank NOWHERE and score -inf.
    """
    values, who = np.asarray(scores, dtype=np.float64), np.asarray(candidates, dtype=np.int64)
    mine = who == np.asarray(own, dtype=np.int64)[:, None]
    there = mine.any(axis=1)
    own_scores = np.where(there, np.max(np.where(mine, values, -np.inf), axis=1, initial=-np.inf), -np.inf)
    found = np.where(there, (values >= own_scores[:, None]).sum(axis=1), NOWHERE)
    return np.asarray(found, dtype=np.int64), own_scores


def cmc(found: ArrayLike, most: int) -> Floats:
    """The cumulative match characteristic: the shares (most,) of mated searches whose rank is 1, 2, ... or better."""
    places = np.asarray(found, dtype=np.int64)
    if not places.size:
        raise ValueError("no mated searches to count")
    return np.asarray((places[:, None] <= np.arange(1, most + 1)).mean(axis=0), dtype=np.float64)


def detected(found: ArrayLike, own_scores: ArrayLike, threshold: float, rank: int = 1) -> tuple[int, int]:
    """How many mated searches have their person at that rank or better and at or above the threshold, and of how many.

    The share is the detection and identification rate (DIR), 1 minus it the FNIR.
    """
    places, scores = np.asarray(found, dtype=np.int64), np.asarray(own_scores, dtype=np.float64)
    return int(((places <= rank) & (scores >= threshold)).sum()), int(places.size)


def open_set(found: ArrayLike, own_scores: ArrayLike, unmated_best: ArrayLike, fpir: float, rank: int = 20) -> OpenSet:
    """TPIR at an FPIR (Klare 2015, section 4.2: the mate among the first 20 and over the threshold).

    found, own_scores: (M,) of the mated searches, as ranks gives them; unmated_best: (U,) each unmated search's
    highest score.
    """
    best = np.asarray(unmated_best, dtype=np.float64)
    threshold = threshold_at_far(best, fpir)
    mated = np.asarray(found).size
    if threshold is None or not mated:
        needed = impostors_needed(fpir) if threshold is None else None
        return OpenSet(
            fpir=fpir, rank=rank, tpir=None, threshold=None, mated=mated, unmated=best.size, unmated_needed=needed
        )
    hits, _ = detected(found, own_scores, threshold, rank)
    answered, _ = rate_at(best, threshold)
    return OpenSet(
        fpir=fpir,
        rank=rank,
        tpir=hits / mated,
        threshold=threshold,
        mated=mated,
        unmated=best.size,
        achieved_fpir=answered / best.size,
    )
