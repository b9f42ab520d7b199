"""From all pairs of unit vectors to the calibration of a model: thresholds of some rates, and a curve between them."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.run.calibration import Calibration, Point
from cosface_cli.engines.counting.pair_counts import count_all_pairs
from cosface_cli.maths.histogram import SPARE, UNIT, curve_of_bins
from cosface_cli.maths.pair_intervals import far_intervals, tar_intervals
from cosface_cli.maths.rates import tar_at_far
from cosface_cli.outcomes import ignore

FARS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
_PER_DECADE = 16  # points of the curve


def calibration_of(
    vectors: NDArray[np.float32], people: NDArray[np.int64], empty: Calibration, workers: int = 0
) -> Calibration | None:
    """The calibration from unit vectors (N, D) of people (N,); None without both genuine and impostor pairs.

    empty: the calibration without its table, with the model and the data.
    """
    counts = count_all_pairs(lambda start, stop: vectors[start:stop], people, ignore, workers)
    genuine, impostors = int(counts.genuine.sum()), int(counts.impostors.sum())
    if not genuine or not impostors:
        return None
    curve = curve_of_bins(counts.genuine, counts.impostors)
    rates = [asdict(tar_at_far(curve, far)) for far in FARS]
    accepted = counts.impostors[::-1].cumsum()[::-1]  # from each bin on
    edges = (_steps(accepted) - (UNIT + SPARE)) / UNIT
    thresholds = np.unique([*edges, *(rate["threshold"] for rate in rates if rate["threshold"] is not None)])
    false = far_intervals(vectors, people, thresholds)
    true = tar_intervals(vectors, people, thresholds)
    for rate in rates:
        if rate["threshold"] is not None:
            at = int(np.searchsorted(thresholds, rate["threshold"]))
            rate |= {"low": float(true.low[at]), "high": float(true.high[at])}
            rate |= {"far_low": float(false.low[at]), "far_high": float(false.high[at])}
    points = tuple(
        Point(float(threshold), curve.accepted(threshold)[1], float(low), float(high))
        for threshold, low, high in zip(thresholds, false.low, false.high, strict=True)
    )
    return replace(empty, genuine=genuine, impostors=impostors, rates=tuple(rates), curve=points)


def _steps(accepted: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bins at which all impostor pairs are accepted, then a constant factor fewer at each, then none."""
    impostors = int(accepted[0])
    decades = np.arange(0, np.log10(impostors) + 1 / _PER_DECADE, 1 / _PER_DECADE)
    wanted = np.append(np.floor(impostors / 10**decades), 0)
    steps: NDArray[np.int64] = np.searchsorted(-accepted, -wanted, side="left")
    steps[0] = SPARE  # -1: every score
    return np.unique(steps)
