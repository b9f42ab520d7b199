"""What the figures share in drawing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.pages.plots import ACCENT, SOFT, png, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[["Figure"], None]

OURS, PAPER = ACCENT, SOFT


def save(stem: Path, size: tuple[float, float], draw: Draw) -> tuple[Path, Path]:
    """Draw a figure of that size in inches to stem.png and stem.svg, each whole or not at all."""
    pixels, lines = (stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg"))
    atomic.write_bytes(pixels, png(draw, *size))
    atomic.write_text(lines, svg(draw, *size))
    return pixels, lines


def side_by_side(
    figure: Figure,
    labels: Sequence[str],
    ours: Sequence[float | None],
    errors: Sequence[float | None],
    bars: str,
    paper: Sequence[float | None],
) -> None:
    """A row for each label from the top: what was measured here in percent with its error (bars: which, in words), and
    beside it, on an axis of its own, the paper's."""
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(labels))
    for place, value, error in zip(places, ours, errors, strict=True):
        if value is None:
            left.text(0.5, place, "stopped", transform=left.get_yaxis_transform(), ha="center", va="center")
        else:
            left.errorbar(100 * value, place, xerr=100 * (error or 0.0), fmt="o", color=OURS, capsize=3)
            left.annotate(f"{100 * value:.2f}", (100 * value, place), (0, 5), textcoords="offset points", ha="center")
    for place, value in zip(places, paper, strict=True):
        if value is not None:
            right.plot(100 * value, place, "s", color=PAPER)
            right.annotate(f"{100 * value:.2f}", (100 * value, place), (0, 5), textcoords="offset points", ha="center")
    left.set_yticks(list(places), labels)
    left.set_ylim(len(labels) - 0.5, -0.7)
    for axes, title, below in ((left, "here", f"\n(bars: {bars})"), (right, "Wang 2018, LFW", "")):
        axes.set_title(title)
        axes.set_xlabel(f"accuracy, %{below}")
        axes.margins(x=0.15)
        axes.grid(visible=False, axis="y")


def square(axes: Axes, low: float, high: float) -> None:
    """One unit as long on both axes, from low to high."""
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.grid(visible=False)
