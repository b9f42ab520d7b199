"""The usual figures of an ROC curve: TAR at FAR and the equal error rate, with exact intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cosface_cli.maths.curve import Curve
from cosface_cli.maths.intervals import clopper_pearson


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """TAR at the lowest threshold whose FAR on these pairs is at most `far`, with exact 95 % intervals.

    Values that the impostor pairs cannot resolve are None. The interval of the TAR treats the threshold as fixed.
    """

    far: float
    """The requested false accept rate."""
    tar: float | None
    """The true accept rate, 0..1."""
    low: float | None
    """Lower end of its interval."""
    high: float | None
    """Upper end of its interval."""
    threshold: float | None
    """A score of these pairs."""
    genuine: int
    """Number of genuine pairs."""
    impostors: int
    """Number of impostor pairs."""
    achieved_far: float | None = None
    """The false accept rate at the threshold."""
    far_low: float | None = None
    """Lower end of its interval."""
    far_high: float | None = None
    """Upper end of its interval."""
    impostors_needed: int | None = None
    """If the impostor pairs cannot resolve `far`: the smallest number that could."""


@dataclass(frozen=True, slots=True)
class EqualError:
    """The threshold at which false accepts and false rejects are closest to equally frequent."""

    eer: float
    """Mean of far and frr."""
    threshold: float
    """The score from which a pair is accepted."""
    far: float
    """False accept rate."""
    frr: float
    """False reject rate."""


def allowed_accepts(far: float, impostors: int) -> int:
    """The number of `impostors` pairs that may be accepted at a false accept rate (0..1).

    0.29 of 3,000 is 869.999... in floating point; the factor corrects such a product to 870.
    """
    return math.floor(far * impostors * (1 + 1e-12))


def impostors_needed(far: float) -> int:
    """The smallest number of impostor pairs that can resolve a false accept rate: one accepted pair is that rate."""
    return math.ceil(1 / far * (1 - 1e-12))


def tar_at_far(curve: Curve, far: float) -> Rate:
    """TAR at a FAR (0..1) on the step function, without interpolation."""
    genuine, impostors = int(curve.genuine[-1]), int(curve.impostors[-1])
    allowed = allowed_accepts(far, impostors)
    if allowed < 1:
        needed = impostors_needed(far)
        return Rate(
            far=far,
            tar=None,
            low=None,
            high=None,
            threshold=None,
            genuine=genuine,
            impostors=impostors,
            impostors_needed=needed,
        )
    row = int(np.searchsorted(curve.impostors, allowed, side="right")) - 1
    if curve.thresholds[row] == -np.inf and row > 0:
        row -= 1  # no threshold accepts pairs without a score
    hits, false = int(curve.genuine[row]), int(curve.impostors[row])
    low, high = clopper_pearson(hits, genuine)
    far_low, far_high = clopper_pearson(false, impostors)
    threshold = float(curve.thresholds[row])
    return Rate(
        far=far,
        tar=hits / genuine,
        low=low,
        high=high,
        threshold=threshold if math.isfinite(threshold) else None,
        genuine=genuine,
        impostors=impostors,
        achieved_far=false / impostors,
        far_low=far_low,
        far_high=far_high,
    )


def equal_error(curve: Curve) -> EqualError:
    """The equal error rate of a step function: the mean of FAR and FRR at the threshold with the least |FAR - FRR|.

    Among equal differences the lowest mean decides, then the strictest threshold.
    """
    far, frr = curve.far, curve.frr
    row = int(np.lexsort((far + frr, np.round(np.abs(far - frr), 15)))[0])
    return EqualError(float(far[row] + frr[row]) / 2, float(curve.thresholds[row]), float(far[row]), float(frr[row]))
