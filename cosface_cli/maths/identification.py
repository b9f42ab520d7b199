"""Open-set identification: is the person of a probe enrolled, and who is it?

A search is mated if its person is enrolled. It returns the best candidate if that candidate's score reaches the
threshold, and nobody otherwise. FPIR: the share of unmated searches that return anybody; FNIR: the share of mated
searches that do not return the right person (ISO/IEC 19795-1; Grother, FRVT part 2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.maths.rates import impostors_needed
from cosface_cli.maths.roc import count_accepted, threshold_at_far

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NOWHERE = np.iinfo(np.int64).max  # the rank of a person who is not among the candidates


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSet:
    """Searches at the lowest threshold at which at most `fpir` of the unmated ones return anybody."""

    fpir: float
    """The requested false positive identification rate."""
    rank: int
    """Number of best candidates that count."""
    tpir: float | None
    """Share of mated searches whose person is among the first `rank` with a score of at least `threshold`; None if the
    unmated searches cannot resolve fpir."""
    threshold: float | None
    """The score from which a candidate is returned."""
    mated: int
    """Number of mated searches."""
    unmated: int
    """Number of unmated searches."""
    achieved_fpir: float | None = None
    """The rate at the threshold."""
    unmated_needed: int | None = None
    """If the unmated searches cannot resolve fpir: the smallest number that could."""


def ranks(scores: ArrayLike, candidates: ArrayLike, people: ArrayLike) -> tuple[Ints, Floats]:
    """The rank (N,), from 1, of each probe's true person (N,) among its candidates (N, K), and that candidate's score.

    scores: (N, K). Among equal scores the true person is ranked last, so that a gallery of equal scores is not a
    success. A person who is not among the candidates has rank NOWHERE and score -inf.
    """
    values, labels = np.asarray(scores, dtype=np.float64), np.asarray(candidates, dtype=np.int64)
    mates = labels == np.asarray(people, dtype=np.int64)[:, None]
    mated = mates.any(axis=1)
    mate_scores = np.where(mated, np.max(np.where(mates, values, -np.inf), axis=1, initial=-np.inf), -np.inf)
    places = np.where(mated, (values >= mate_scores[:, None]).sum(axis=1), NOWHERE)
    return np.asarray(places, dtype=np.int64), mate_scores


def cmc(mate_ranks: ArrayLike, most: int) -> Floats:
    """The cumulative match characteristic: the shares (most,) of mated searches with rank 1, 2, ... or better."""
    places = np.asarray(mate_ranks, dtype=np.int64)
    if not places.size:
        raise ValueError("no mated searches to count")
    return np.asarray((places[:, None] <= np.arange(1, most + 1)).mean(axis=0), dtype=np.float64)


def detected(mate_ranks: ArrayLike, mate_scores: ArrayLike, threshold: float, rank: int = 1) -> tuple[int, int]:
    """The number of mated searches whose person has that rank or better and reaches the threshold; and of all.

    Their ratio is the detection and identification rate (DIR); the FNIR is 1 - DIR.
    """
    places, scores = np.asarray(mate_ranks, dtype=np.int64), np.asarray(mate_scores, dtype=np.float64)
    return int(((places <= rank) & (scores >= threshold)).sum()), int(places.size)


def open_set(
    mate_ranks: ArrayLike, mate_scores: ArrayLike, unmated_best: ArrayLike, fpir: float, rank: int = 20
) -> OpenSet:
    """TPIR at an FPIR (Klare 2015, section 4.2: the mate is among the first 20 and reaches the threshold).

    mate_ranks, mate_scores: (M,), the results of ranks() for the mated searches; unmated_best: (U,), the highest score
    of each unmated search.
    """
    best = np.asarray(unmated_best, dtype=np.float64)
    threshold = threshold_at_far(best, fpir)
    mated = np.asarray(mate_ranks).size
    if threshold is None or not mated:
        needed = impostors_needed(fpir) if threshold is None else None
        return OpenSet(
            fpir=fpir, rank=rank, tpir=None, threshold=None, mated=mated, unmated=best.size, unmated_needed=needed
        )
    hits, _ = detected(mate_ranks, mate_scores, threshold, rank)
    answered, _ = count_accepted(best, threshold)
    return OpenSet(
        fpir=fpir,
        rank=rank,
        tpir=hits / mated,
        threshold=threshold,
        mated=mated,
        unmated=best.size,
        achieved_fpir=answered / best.size,
    )
