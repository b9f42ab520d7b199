"""Histograms of cosines, for more pairs than fit into memory, with bins about as fine as single precision.

Bin k counts the scores in [k / UNIT, (k + 1) / UNIT). So the counts at the edges are exact, and the edges are the
thresholds. Scores that differ by less than 2e-6 may count as a tie: the error of a dot product of 32-bit vectors is a
tenth of that.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.maths.curve import Curve, curve_of_counts

UNIT = 1 << 19
SPARE = 32  # bins below -1 and above 1, for rounded cosines
BINS = 2 * (UNIT + SPARE)
Counts = NDArray[np.int64]


def binned(cosines: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bin numbers k of cosines of unit vectors: cosine * UNIT, rounded down."""
    bins: NDArray[np.float32] = np.floor(cosines * np.float32(UNIT))  # exact: UNIT is a power of two
    return bins


def count_into(counts: Counts, bins: NDArray[np.float32]) -> None:
    """Add bin numbers, the result of binned, to counts (BINS,) in place."""
    np.add.at(counts, bins.astype(np.intp) + (UNIT + SPARE), 1)


def curve_of_bins(genuine: Counts, impostors: Counts) -> Curve:
    """The ROC of two histograms (BINS,). Raises ValueError if one of them is empty."""
    edges = (np.arange(BINS) - (UNIT + SPARE)) / UNIT
    return curve_of_counts(edges, genuine, impostors)
