"""The figures of a run's report, each as an SVG element."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.pages.plots import ACCENT, INK, SOFT, WARN, inline_svg, svg
from cosface_cli.train.report.embedding_angles import Angles, median_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]
Points = tuple[NDArray[np.float64], NDArray[np.float64]]

_BINS = np.arange(0.0, 181.0, 2.0)  # degrees
_ACCURACIES = {  # column: what the page calls it, and its colour
    "validation_accuracy": ("validation pairs", ACCENT),
    "hold_out_score": ("people held out (mean true accept rate)", WARN),
    "accuracy": ("crops trained on, without the margin", SOFT),
}


def of_epochs(rows: Rows, schedule: str, best_epoch: int | None) -> list[str]:
    """Figures of the loss, the learning rate and the accuracies by step, if a row of metrics.jsonl has values for them.

    best_epoch: the epoch whose weights were kept; it is marked in each figure.
    """
    kept_step = next((row["step"] for row in rows if row["epoch"] == best_epoch), None)

    def figure_of(title: str, words: str, paint: Callable[[Axes], None]) -> str:
        def painted(figure: Figure) -> None:
            axes = figure.subplots()
            paint(axes)
            axes.set(title=title, xlabel="step")
            axes.margins(x=0.02)
            if kept_step is not None:
                axes.axvline(kept_step, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
                axes.annotate("kept", (kept_step, 1), (3, -3), xycoords=("data", "axes fraction"), va="top", fontsize=8,
                              textcoords="offset points")  # fmt: skip

        return inline_svg(svg(painted, 4.6, 2.7), f"{title}, {words}")

    figures = []
    losses = _column(rows, "loss")
    if losses[0].size:
        words = f"by step: from {losses[1][0]:.3g} to {losses[1][-1]:.3g}"
        figures.append(figure_of("Loss", words, lambda axes: _line(axes, losses, ACCENT)))
    rates = _column(rows, "lr")
    if rates[0].size:

        def paint_rates(axes: Axes) -> None:
            _line(axes, rates, ACCENT)
            if schedule == "step":
                axes.set_yscale("log")

        figures.append(figure_of("Learning rate", f"by step: at most {rates[1].max():.3g}", paint_rates))
    accuracies = {name: points for name in _ACCURACIES if (points := _column(rows, name))[0].size}
    if accuracies:
        figures.append(
            figure_of(
                "Accuracy",
                "; ".join(f"{_ACCURACIES[name][0]}: {values[-1]:.3g}" for name, (_, values) in accuracies.items()),
                lambda axes: _paint_accuracies(axes, accuracies, _column(rows, "validation_error")[1]),
            )
        )
    return figures


def of_angles(before: Mapping[str, Angles], after: Mapping[str, Angles]) -> str:
    """Histograms of angles, with a column for each kind of crops: before training above, after it below."""

    def paint(figure: Figure) -> None:
        grid = figure.subplots(2, len(kinds), squeeze=False, sharex=True)
        for row, (when, angles) in enumerate((("before", before), ("after", after))):
            for axes, kind in zip(grid[row], kinds, strict=True):
                for values, colour, name in (
                    (angles[kind].genuine, ACCENT, "one person"),
                    (angles[kind].impostors, WARN, "two people"),
                ):
                    if values.size:
                        heights = np.histogram(values, _BINS)[0] / values.size * 100
                        axes.stairs(heights, _BINS, fill=True, color=colour, alpha=0.3)
                        axes.stairs(heights, _BINS, color=colour, linewidth=1.2, label=name)
                axes.set(title=f"{kind}, {when} training", xlim=(0, 180), xticks=range(0, 181, 30))
                axes.set_yticks([])
                if row:
                    axes.set_xlabel("angle, degrees")
        grid[0][0].legend(loc="upper right")

    kinds = [kind for kind in before if kind in after]
    words = "; ".join(
        f"{kind}, {when}: one person {median_text(angles[kind].genuine)}, "
        f"two people {median_text(angles[kind].impostors)}"
        for kind in kinds
        for when, angles in (("before", before), ("after", after))
    )
    return inline_svg(svg(paint, 4.6 * len(kinds), 4.0), f"Angles between embeddings, median: {words}") if kinds else ""


def _column(rows: Rows, name: str) -> Points:
    """Steps and values of the rows that have one."""
    points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    return np.array([step for step, _ in points], float), np.array([value for _, value in points], float)


def _line(axes: Axes, points: Points, colour: str, label: str | None = None) -> None:
    axes.plot(*points, marker="o" if len(points[0]) <= 60 else "", color=colour, label=label)


def _paint_accuracies(axes: Axes, accuracies: Mapping[str, Points], errors: NDArray[np.float64]) -> None:
    for name, (steps, values) in accuracies.items():
        words, colour = _ACCURACIES[name]
        _line(axes, (steps, values), colour, words)
        if name == "validation_accuracy" and len(errors) == len(values):
            axes.fill_between(steps, values - errors, values + errors, color=colour, alpha=0.2, linewidth=0)
    axes.legend(loc="lower right")
