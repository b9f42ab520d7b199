"""Drawing that several figures share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cosface_cli.artifacts.pages.plots import ACCENT, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Figure"], None]

OURS, PAPER = ACCENT, SOFT


def side_by_side(
    figure: Figure,
    labels: Sequence[str],
    ours: Sequence[float | None],
    errors: Sequence[float | None],
    error_kind: str,
    paper: Sequence[float | None],
) -> None:
    """Draw a row for each label, from the top: the measured accuracy in percent with its error, and on a second axis
    the paper's. ours: None for a training that was stopped. error_kind: what the errors are. paper: None for no value.
    """
    left, right = figure.subplots(1, 2, sharey=True)
    positions = range(len(labels))
    for position, value, error in zip(positions, ours, errors, strict=True):
        if value is None:
            left.text(0.5, position, "stopped", transform=left.get_yaxis_transform(), ha="center", va="center")
        else:
            left.errorbar(100 * value, position, xerr=100 * (error or 0.0), fmt="o", color=OURS, capsize=3)
            _write_percent(left, value, position)
    for position, value in zip(positions, paper, strict=True):
        if value is not None:
            right.plot(100 * value, position, "s", color=PAPER)
            _write_percent(right, value, position)
    left.set_yticks(list(positions), labels)
    left.set_ylim(len(labels) - 0.5, -0.7)
    for axes, title, below in ((left, "here", f"\n(bars: {error_kind})"), (right, "Wang 2018, LFW", "")):
        axes.set_title(title)
        axes.set_xlabel(f"accuracy, %{below}")
        axes.margins(x=0.15)
        axes.grid(visible=False, axis="y")


def square(axes: Axes, low: float, high: float) -> None:
    """Draw both axes from low to high, with the same scale."""
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.grid(visible=False)


def _write_percent(axes: Axes, value: float, position: int) -> None:
    axes.annotate(f"{100 * value:.2f}", (100 * value, position), (0, 5), textcoords="offset points", ha="center")
