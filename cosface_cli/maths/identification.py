"""Open-set identification: is a probe of somebody enrolled, and of whom?

A search is mated where its person is enrolled. It answers with the best candidate where that one's score reaches the
threshold, and with nobody otherwise (NIST's terms; Grother, FRVT part 2).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def ranks(scores: ArrayLike, own: ArrayLike) -> NDArray[np.int64]:
    """The rank (N,), from 1, of each probe's own person among the scores (N, G); own (N,): their columns.

    Of equal scores the own one is the last, so that a gallery of equals is no success.
    """
    values, columns = np.asarray(scores, dtype=np.float64), np.asarray(own, dtype=np.int64)
    mine = np.take_along_axis(values, columns[:, None], 1)
    return np.asarray((values >= mine).sum(axis=1), dtype=np.int64)


def cmc(found: ArrayLike, most: int) -> Floats:
    """The cumulative match characteristic: the shares (most,) of mated searches whose rank is 1, 2, ... or better."""
    places = np.asarray(found, dtype=np.int64)
    if not places.size:
        raise ValueError("no mated searches to count")
    return np.asarray((places[:, None] <= np.arange(1, most + 1)).mean(axis=0), dtype=np.float64)


def detection_rate(found: ArrayLike, own_scores: ArrayLike, threshold: float, rank: int = 1) -> tuple[int, int]:
    """How many mated searches have their person at that rank or better and at or above the threshold, and of how many.

    Its share is the DIR, 1 minus it the FNIR.
    """
    places, scores = np.asarray(found, dtype=np.int64), np.asarray(own_scores, dtype=np.float64)
    return int(((places <= rank) & (scores >= threshold)).sum()), int(places.size)
