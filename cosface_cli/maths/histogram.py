"""Cosines counted in bins as fine as single precision tells them apart, for pairs too many to keep.

A bin holds the scores from k / UNIT on and below (k + 1) / UNIT. So every count at a bin's edge is exact, and an edge
is a threshold. What lies nearer than 2e-6 may count as a tie: dot products of 32-bit vectors err by a tenth of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.maths.curve import Curve, curve_of_counts

UNIT = 1 << 19
SPARE = 32  # bins beyond -1 and 1, where rounding puts a few
BINS = 2 * (UNIT + SPARE)
Counts = NDArray[np.int64]


def binned(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines of unit vectors as whole numbers of 1 / UNIT, rounded down."""
    bins: NDArray[np.float32] = np.floor(cosines * np.float32(UNIT))  # times a power of two: exact
    return bins


def count_into(counts: Counts, bins: NDArray[np.float32]) -> None:
    """Add some scores, as binned gives them, to counts (BINS,)."""
    np.add.at(counts, bins.astype(np.intp) + (UNIT + SPARE), 1)


def curve_of_bins(genuine: Counts, impostors: Counts) -> Curve:
    """The ROC of two histograms. Raises ValueError where one of them is empty."""
    edges = (np.arange(BINS) - (UNIT + SPARE)) / UNIT
    return curve_of_counts(edges, genuine, impostors)
