"""From the scores of a protocol to the figures of its report, in the same way for every protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bootstrap import Draws, affordable_draws, pair_draws, percentile_interval
from cosface_cli.maths.curve import Curve, roc
from cosface_cli.maths.rates import equal_error, tar_at_far
from cosface_cli.maths.roc import Folds, best_threshold, fold_accuracy
from cosface_cli.verify.figures import ProtocolReport
from cosface_cli.verify.figures.protocol_scores import Missing, PairScores, ProtocolScores
from cosface_cli.verify.figures.subgroups import rates_by_group

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def report_of(protocol: str, scores: ProtocolScores, source: Path, seconds: float) -> ProtocolReport:
    """The report of a protocol. Raises CosfaceError if no pair has a score, or no pair of a fold."""
    pairs, missing = scores.pairs, scores.missing_rule
    folds = None if pairs is None else accuracy(pairs, missing, source, scores.by_folds, scores.dev)
    curve = scores.curve if pairs is None else curve_of(pairs, missing)
    if not (pairs.known.any() if pairs is not None else curve is not None or scores.identification):
        raise CosfaceError("no pair has a score", source, "check the photos")
    draws = scores.draws if pairs is None else draws_of(pairs, missing)
    genuine, impostors = (int(curve.genuine[-1]), int(curve.impostors[-1])) if curve is not None else (0, 0)
    groups = () if pairs is None or scores.groups is None else rates_by_group(pairs, scores.groups, missing)
    return ProtocolReport(
        protocol=protocol,
        pairs=len(pairs.scores) if pairs is not None else genuine + impostors,
        scored=int(pairs.known.sum()) if pairs is not None else genuine + impostors,
        genuine=genuine,
        impostors=impostors,
        folds=pairs.folds if pairs is not None and scores.by_folds else 0,
        accuracy=folds.mean if folds is not None else None,
        accuracy_se=folds.standard_error if folds is not None and scores.by_folds else None,
        fold_accuracy=folds.accuracies if folds is not None and scores.by_folds else (),
        thresholds=folds.thresholds if folds is not None else (),
        eer=None if curve is None else _equal_error(curve, draws),
        tar_at_far=() if curve is None else _rates(curve, draws),
        identification=scores.identification,
        details={**scores.details, "bootstrap_draws": 0 if draws is None else len(draws.eer)},
        missing=scores.missing,
        missing_rule=missing,
        model=scores.model.name,
        model_id=scores.model.id,
        flip=scores.model.flip or "none",
        data=scores.data,
        list_hash=scores.list_hash,
        seconds=round(seconds, 2),
        groups=groups,
    )


def curve_of(pairs: PairScores, missing: Missing) -> Curve | None:
    """The ROC of the counted pairs, see PairScores.counted; None without both genuine and impostor pairs."""
    counted = pairs.subset(pairs.counted(missing))
    if counted.same.all() or not counted.same.any():
        return None
    return roc(counted.ranked, counted.same)


def draws_of(pairs: PairScores, missing: Missing) -> Draws | None:
    """TAR at FARS and equal error rate of resampled people; None if people are not known, or pairs are too many."""
    counted = pairs.subset(pairs.counted(missing))
    people = counted.people()
    draws = affordable_draws(len(counted.scores))
    if people is None or not draws or counted.same.all() or not counted.same.any():
        return None
    return pair_draws(counted.ranked, counted.same, *people, FARS, draws)


def accuracy(
    pairs: PairScores, missing: Missing, source: Path, by_folds: bool, dev: PairScores | None = None
) -> Folds | None:
    """Accuracy by folds, or at the threshold that is best on dev; None if neither is defined.

    Raises CosfaceError, which names source, if no pair remains to choose a threshold on.
    """
    folds = np.unique(pairs.fold)
    if missing == "skip":
        pairs = pairs.subset(pairs.known)
    if dev is not None:
        dev = dev.subset(dev.known)
        if not len(dev.scores) or not len(pairs.scores):
            raise CosfaceError("no pair of one of the two lists has a score", source, "check the photos")
        threshold = best_threshold(dev.scores, dev.same)
        right = pairs.known & ((pairs.scores >= threshold) == pairs.same)
        return Folds((), (threshold,), float(right.mean()), float("nan"))
    if not by_folds:
        return None
    others = (pairs.known & (pairs.fold != fold) for fold in folds)
    if not len(pairs.scores) or not np.isin(folds, pairs.fold).all() or not all(other.any() for other in others):
        raise CosfaceError("a fold, or all others, have no pair with two faces", source, "check the photos")
    return fold_accuracy(np.where(pairs.known, pairs.scores, -1.0), pairs.same, pairs.fold, ~pairs.known)


def _rates(curve: Curve, draws: Draws | None) -> tuple[Mapping[str, float | None], ...]:
    rates = []
    for column, far in enumerate(FARS):
        rate = asdict(tar_at_far(curve, far))
        interval = None if draws is None or rate["tar"] is None else percentile_interval(draws.tar[:, column])
        rates.append({**rate, **_bounds(interval, "bootstrap_low", "bootstrap_high")})
    return tuple(rates)


def _equal_error(curve: Curve, draws: Draws | None) -> Mapping[str, float | None]:
    interval = None if draws is None else percentile_interval(draws.eer)
    return {**asdict(equal_error(curve)), **_bounds(interval, "low", "high")}


def _bounds(interval: tuple[float, float] | None, low: str, high: str) -> dict[str, float | None]:
    return {low: None, high: None} if interval is None else {low: interval[0], high: interval[1]}
