"""Open-set identification: is a probe of somebody enrolled, and of whom?

A search is mated where its person is enrolled. It answers with the best candidate where that one's score reaches the
threshold, and with nobody otherwise. FPIR: the share of other searches that are answered with anybody; FNIR: of mated
ones that are not answered with their own person (ISO/IEC 19795-1; Grother, FRVT part 2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def ranks(scores: ArrayLike, candidates: ArrayLike, own: ArrayLike) -> tuple[Ints, Floats]:
    """The rank (N,), from 1, of each mated probe's own person (N,) among its candidates (N, K), and that one's score.

    scores (N, K): best first. Of equal scores the own one is the last: a gallery of equals is no success. Who is not
    among the candidates has rank K + 1 and score -inf.
    """
    values, who = np.asarray(scores, dtype=np.float64), np.asarray(candidates, dtype=np.int64)
    mine = who == np.asarray(own, dtype=np.int64)[:, None]
    there = mine.any(axis=1)
    own_scores = np.where(there, np.max(np.where(mine, values, -np.inf), axis=1, initial=-np.inf), -np.inf)
    found = np.where(there, (values >= own_scores[:, None]).sum(axis=1), values.shape[1] + 1)
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
