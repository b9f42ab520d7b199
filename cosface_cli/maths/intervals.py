"""How sure a rate is."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact binomial interval of a rate hits / trials (Clopper and Pearson 1934), both ends in 0..1."""
    low, high = clopper_pearson_band([hits], trials, confidence)
    return float(low[0]), float(high[0])


def clopper_pearson_band(
    hits: ArrayLike, trials: int, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lower and upper ends (K,) of the intervals of hits (K,) / trials, each on its own: the band of a curve."""
    from scipy.special import betaincinv

    counts = np.asarray(hits, np.float64)
    wrong = counts[(counts < 0) | (counts > trials)]
    if trials < 1 or wrong.size:
        raise ValueError(f"{wrong[0] if wrong.size else 0:g} of {trials} is no rate")
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore"):  # 0 and all are closed by hand
        low = np.where(counts == 0, 0.0, betaincinv(counts, trials - counts + 1, tail))
        high = np.where(counts == trials, 1.0, betaincinv(counts + 1, trials - counts, 1 - tail))
    return np.asarray(low, np.float64), np.asarray(high, np.float64)
