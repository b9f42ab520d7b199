"""From scored pairs to the numbers of a report, alike for every protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bootstrap import Draws, affordable_draws, pair_draws, percentile_interval
from cosface_cli.maths.curve import Curve, roc
from cosface_cli.maths.rates import equal_error, tar_at_far
from cosface_cli.maths.roc import Folds, best_threshold, fold_accuracy
from cosface_cli.verify import ProtocolConfig, ProtocolReport
from cosface_cli.verify.figures.pair_scores import PairScores, Scored
from cosface_cli.verify.figures.subgroups import by_group

FARS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def report_of(name: str, scored: Scored, config: ProtocolConfig, seconds: float) -> ProtocolReport:
    """The report of a protocol. Raises CosfaceError where no pair has a score, or a fold has none left."""
    pairs = scored.pairs
    folds = None if pairs is None else accuracy(pairs, config, scored.by_folds, scored.dev)
    curve = scored.curve if pairs is None else curve_of(pairs, config.missing)
    if not (pairs.known.any() if pairs is not None else curve is not None or scored.identification):
        raise CosfaceError("no pair has a score", config.source, "check the photos")
    draws = scored.draws if pairs is None else draws_of(pairs, config.missing)
    total = int(curve.genuine[-1] + curve.impostors[-1]) if curve is not None else 0
    return ProtocolReport(
        protocol=name,
        pairs=len(pairs.scores) if pairs is not None else total,
        scored=int(pairs.known.sum()) if pairs is not None else total,
        genuine=int(curve.genuine[-1]) if curve is not None else 0,
        impostors=int(curve.impostors[-1]) if curve is not None else 0,
        folds=pairs.folds if pairs is not None and scored.by_folds else 0,
        accuracy=folds.mean if folds is not None else None,
        accuracy_se=folds.standard_error if folds is not None and scored.by_folds else None,
        fold_accuracy=folds.accuracies if folds is not None and scored.by_folds else (),
        thresholds=folds.thresholds if folds is not None else (),
        eer=None if curve is None else _equal_error(curve, draws),
        tar_at_far=() if curve is None else _rates(curve, draws),
        identification=scored.identification,
        details={**scored.details, "bootstrap_draws": 0 if draws is None else len(draws.eer)},
        missing=scored.missing,
        missing_rule=config.missing if pairs is not None or scored.curve is None else "skip",
        model=scored.model,
        model_id=scored.model_id,
        flip=scored.flip,
        data=scored.data,
        list_hash=scored.list_hash,
        seconds=round(seconds, 2),
        groups=by_group(pairs, scored.groups, config.missing)
        if pairs is not None and scored.groups is not None
        else (),
    )


def curve_of(pairs: PairScores, missing: str) -> Curve | None:
    """The ROC of pairs, see PairScores.counted; None where one kind is lacking."""
    kept = pairs.chosen(pairs.counted(missing))
    if kept.same.all() or not kept.same.any():
        return None
    return roc(kept.ranked, kept.same)


def draws_of(pairs: PairScores, missing: str) -> Draws | None:
    """TAR at FARS and equal error rate with people drawn anew; None where people are not known, or pairs too many."""
    kept = pairs.chosen(pairs.counted(missing))
    people = kept.people()
    draws = affordable_draws(len(kept.scores))
    if people is None or not draws or kept.same.all() or not kept.same.any():
        return None
    return pair_draws(kept.ranked, kept.same, *people, FARS, draws)


def accuracy(pairs: PairScores, config: ProtocolConfig, by_folds: bool, dev: PairScores | None = None) -> Folds | None:
    """Accuracy by folds, or at the threshold that is best on dev; None where neither is there."""
    own = pairs.chosen(pairs.known) if config.missing == "skip" else pairs
    if dev is not None:
        dev = dev.chosen(dev.known)
        if not len(dev.scores) or not len(own.scores):
            raise CosfaceError("no pair of one of the two lists has a score", config.source, "check the photos")
        threshold = best_threshold(dev.scores, dev.same)
        right = own.known & ((own.scores >= threshold) == own.same)
        return Folds((), (threshold,), float(right.mean()), float("nan"))
    if not by_folds:
        return None
    for fold in np.unique(pairs.fold):
        if not (own.known & (own.fold != fold)).any() or not (own.fold == fold).any():
            raise CosfaceError("a fold, or all others, have no pair with two faces", config.source, "check the photos")
    return fold_accuracy(np.where(own.known, own.scores, -1.0), own.same, own.fold, ~own.known)


def _rates(curve: Curve, draws: Draws | None) -> tuple[Mapping[str, Any], ...]:
    rates = []
    for place, far in enumerate(FARS):
        rate = asdict(tar_at_far(curve, far))
        band = None if draws is None or rate["tar"] is None else percentile_interval(draws.tar[:, place])
        rates.append({**rate, "bootstrap_low": band and band[0], "bootstrap_high": band and band[1]})
    return tuple(rates)


def _equal_error(curve: Curve, draws: Draws | None) -> Mapping[str, Any]:
    band = None if draws is None else percentile_interval(draws.eer)
    return {**asdict(equal_error(curve)), "low": band and band[0], "high": band and band[1]}
