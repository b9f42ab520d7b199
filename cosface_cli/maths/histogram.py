"""Cosines counted in bins as fine as single precision tells them apart, for pairs too many to keep.

A bin holds the scores from k / UNIT on and below (k + 1) / UNIT. So every count at a bin's edge is exact, and an edge
is a threshold: what lies nearer than 1e-6 counts as a tie, about as much as dot products of 32-bit vectors err.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.maths.curve import Curve, curve_of_counts

UNIT = 1 << 20
SPARE = 32  # bins beyond -1 and 1, where rounding puts a few
BINS = 2 * (UNIT + SPARE)
Counts = NDArray[np.int64]


def binned(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines of unit vectors as whole numbers of 1 / UNIT, rounded down, in place."""
    np.multiply(cosines, np.float32(UNIT), out=cosines)  # a power of two: exact
    return np.floor(cosines, out=cosines)


def counted(bins: NDArray[np.float32]) -> Counts:
    """How many of some scores, as binned gives them, are in each bin: (BINS,)."""
    return np.bincount(_places(bins), minlength=BINS)


def count_into(counts: Counts, bins: NDArray[np.float32]) -> None:
    """Add a few scores to counts (BINS,)."""
    np.add.at(counts, _places(bins), 1)


def _places(bins: NDArray[np.float32]) -> NDArray[np.intp]:
    places = bins.astype(np.intp).ravel()
    places += UNIT + SPARE
    return places


def curve_of_bins(genuine: Counts, impostors: Counts) -> Curve:
    """The ROC of two histograms. Raises ValueError where one of them is empty."""
    edges = (np.arange(BINS) - (UNIT + SPARE)) / UNIT
    return curve_of_counts(edges, genuine, impostors)
