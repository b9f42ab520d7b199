"""verify.figures: from the scores of a protocol to rates, intervals, figures by group, plots and a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolReport:
    """The figures of a model by a protocol. A figure that the protocol does not define, or that its pairs do not
    resolve, is None."""

    protocol: str
    pairs: int
    """Pairs of the list."""
    scored: int
    """Pairs with a score."""
    genuine: int
    """Genuine pairs that the rates are over."""
    impostors: int
    """Impostor pairs that the rates are over."""
    folds: int
    accuracy: float | None
    """Mean over the folds, 0..1, each at the threshold that is best on the other folds."""
    accuracy_se: float | None
    """Its standard error: the standard deviation (n - 1) of the folds over root n."""
    fold_accuracy: tuple[float, ...]
    thresholds: tuple[float, ...]
    """The threshold of each fold, or the one that was chosen on the development list."""
    eer: Mapping[str, float | None] | None
    """eer, threshold, far and frr there; low and high by bootstrap over people."""
    tar_at_far: tuple[Mapping[str, float | None], ...]
    """For each FAR a maths.rates.Rate, with bootstrap_low and bootstrap_high by bootstrap over people, if known."""
    identification: Mapping[str, Any] | None
    """One against many, as the protocol defines it."""
    details: Mapping[str, object]
    """How the protocol was run."""
    missing: tuple[str, ...]
    """Names without a score."""
    missing_rule: Literal["error", "skip"]
    """Whether pairs without a score count as errors or are left out."""
    model: str
    model_id: str
    """Hash of the weights."""
    flip: str
    data: str
    """Hash of the faces compared."""
    list_hash: str | None
    """Hash of the list."""
    seconds: float
    groups: tuple[Mapping[str, object], ...] = ()
    """Figures by group, see figures.subgroups."""

    def summary(self) -> dict[str, str | int | float | None]:
        """The figures for a table, in percent: rates with their exact intervals, or the impostors that they need."""

        def percent(value: float | None, error: float | None = None) -> str:
            plus_minus = "" if error is None else f" +- {100 * error:.2f}"
            return "" if value is None else f"{100 * value:.2f}{plus_minus}"

        row: dict[str, str | int | float | None] = {"protocol": self.protocol, "pairs": self.pairs}
        if self.accuracy is not None:
            row["accuracy %"] = percent(self.accuracy, self.accuracy_se)
        if self.identification is not None and "rank1" in self.identification:
            row["rank 1 %"] = percent(self.identification["rank1"]["rate"])
        if self.eer is not None:
            row["EER %"] = percent(self.eer["eer"])
        for rate in self.tar_at_far:
            resolved = f"{percent(rate['tar'])} ({percent(rate['low'])}, {percent(rate['high'])})"
            unresolved = f"needs {rate['impostors_needed']} impostors"
            row[f"TAR % at {rate['far']:g}"] = unresolved if rate["tar"] is None else resolved
        return {**row, "missing": len(self.missing), "model": self.model}
