"""Exact confidence intervals of a rate."""

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
    """Lower and upper ends (K,) of the interval of each of the rates hits (K,) / trials: the pointwise band of a curve.

    Raises ValueError for trials below 1, and for hits outside 0..trials.
    """
    from scipy.special import betaincinv

    counts = np.asarray(hits, np.float64)
    wrong = counts[(counts < 0) | (counts > trials)]
    if trials < 1 or wrong.size:
        raise ValueError(
            f"hits must be in 0..trials and trials at least 1, got {wrong[0] if wrong.size else 0:g} of {trials}"
        )
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore"):  # betaincinv is NaN at 0 and at all hits, which have closed forms
        low = np.where(counts == 0, 0.0, betaincinv(counts, trials - counts + 1, tail))
        high = np.where(counts == trials, 1.0, betaincinv(counts + 1, trials - counts, 1 - tail))
    return np.asarray(low, np.float64), np.asarray(high, np.float64)
