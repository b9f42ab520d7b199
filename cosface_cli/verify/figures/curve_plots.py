"""The plots of a protocol's page, each as an SVG element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.pages.plots import ACCENT, INK, SOFT, WARN, inline_svg, svg
from cosface_cli.maths.curve import Curve
from cosface_cli.maths.intervals import clopper_pearson

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
POINTS = 240  # of a curve, at most
BINS = 80
_TICKS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.05, 0.2, 0.5, 0.8, 0.97)


@dataclass(frozen=True, slots=True, eq=False)
class RocBand:
    """Points of an ROC by rising FAR, with a band."""

    far: Floats
    """0..1"""
    tar: Floats
    """0..1"""
    low: Floats
    """Lower end of the exact 95 % interval of the TAR, at a fixed threshold."""
    high: Floats
    impostors: int
    """The number of impostor pairs."""


def roc_band(curve: Curve) -> RocBand:
    """The steps of a curve, thinned out evenly over the logarithm of the accepted impostors."""
    last = np.flatnonzero(np.append(curve.impostors[1:] != curve.impostors[:-1], True))  # the best TAR of each FAR
    wanted = np.unique(np.rint(np.geomspace(1, curve.impostors[-1] + 1, POINTS)).astype(np.int64)) - 1
    rows = last[np.unique(np.searchsorted(curve.impostors[last], wanted, side="right") - 1)]
    genuine = int(curve.genuine[-1])
    bands = np.array([clopper_pearson(int(hits), genuine) for hits in curve.genuine[rows]])
    return RocBand(curve.far[rows], curve.tar[rows], bands[:, 0], bands[:, 1], int(curve.impostors[-1]))


def draw_roc(band: RocBand, rates: Sequence[Mapping[str, Any]]) -> str:
    """TAR over FAR, logarithmic; rates: as in a ProtocolReport, whose bootstrap is drawn as bars."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        far = np.maximum(band.far, 0.5 / band.impostors)  # FAR 0 is drawn at half a pair
        axes.fill_between(far, band.low, band.high, step="post", color=ACCENT, alpha=0.2, linewidth=0)
        axes.step(far, band.tar, where="post", color=ACCENT)
        bars = [rate for rate in rates if rate["tar"] is not None and rate.get("bootstrap_low") is not None]
        for rate in bars:
            axes.plot([rate["far"]] * 2, [rate["bootstrap_low"], rate["bootstrap_high"]], color=INK, linewidth=1)
        axes.axvline(1 / band.impostors, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set(title="ROC", xlabel="false accept rate", ylabel="true accept rate", xscale="log", ylim=(None, 1.005))
        axes.set_xlim(0.5 / band.impostors, 1)

    return inline_svg(svg(paint, 4.6, 3.4), f"ROC: {_words(rates)}")


def draw_det(band: RocBand) -> str:
    """False rejects over false accepts, both as quantiles of the normal distribution (Martin 1997)."""
    from scipy.special import ndtri

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        least = 0.5 / band.impostors
        far = ndtri(np.clip(band.far, least, 1 - least))
        most = 1 - min(1e-3, float((1 - band.tar[band.tar < 1]).min(initial=0.5)) / 2)
        frr, low, high = (ndtri(np.clip(1 - v, 1 - most, most)) for v in (band.tar, band.high, band.low))
        axes.fill_between(far, low, high, step="post", color=ACCENT, alpha=0.2, linewidth=0)
        axes.step(far, frr, where="post", color=ACCENT)
        ends = max(far[0], frr.min()), min(far[-1], frr.max())
        if ends[0] < ends[1]:
            axes.plot(ends, ends, color=SOFT, linewidth=0.8, linestyle=(0, (2, 2)))  # the equal error
        for axis, values in ((axes.xaxis, far), (axes.yaxis, frr)):
            shown = [tick for tick in _TICKS if values.min() - 0.2 <= ndtri(tick) <= values.max() + 0.2]
            axis.set_ticks([float(ndtri(tick)) for tick in shown], [f"{100 * tick:g} %" for tick in shown])
        axes.set(title="DET", xlabel="false accept rate", ylabel="false reject rate")

    return inline_svg(svg(paint, 4.6, 3.4), "DET: false rejects over false accepts")


def draw_scores(curve: Curve, thresholds: Sequence[float]) -> str:
    """Histograms of genuine and impostor scores; thresholds: marked by lines."""
    finite = np.isfinite(curve.thresholds)
    scores = curve.thresholds[finite]
    genuine, impostors = (np.diff(counts, prepend=0)[finite] for counts in (curve.genuine, curve.impostors))
    edges = np.linspace(scores.min(), scores.max() + 1e-9, BINS + 1) if scores.size else np.array([0.0, 1.0])

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for counts, colour, name in ((genuine, ACCENT, "one person"), (impostors, WARN, "two people")):
            heights = np.histogram(scores, edges, weights=counts)[0] / max(counts.sum(), 1)
            axes.stairs(heights, edges, fill=True, color=colour, alpha=0.3)
            axes.stairs(heights, edges, color=colour, linewidth=1.2, label=name)
        for threshold in thresholds:
            axes.axvline(threshold, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.set(title="Scores", xlabel="cosine", ylabel="share of the pairs")
        axes.legend(loc="best")

    words = ", ".join(f"{name} {_median(scores, counts):.3f}" for name, counts in
                      (("one person", genuine), ("two people", impostors)))  # fmt: skip
    return inline_svg(svg(paint, 4.6, 3.4), f"Scores, median: {words}")


def _median(scores: Floats, counts: NDArray[np.int64]) -> float:
    """The median of descending scores, each of which occurs `counts` times."""
    total = counts.cumsum()
    return float(scores[np.searchsorted(total, total[-1] / 2)]) if total.size and total[-1] else float("nan")


def _words(rates: Sequence[Mapping[str, float | None]]) -> str:
    resolved = [f"{100 * rate['tar']:.1f} % at FAR {rate['far']:g}" for rate in rates if rate["tar"] is not None]
    return "true accepts " + (", ".join(resolved) or "not resolved by so few impostor pairs")
