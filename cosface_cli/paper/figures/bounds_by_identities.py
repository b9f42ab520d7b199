"""The bounds of s (Eq. 6) and m (Eq. 7) by number of identities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bounds import margin_upper_bound, scale_lower_bound
from cosface_cli.outcomes import Done, OnOutcome, ignore
from cosface_cli.paper import BoundsConfig, PaperReport
from cosface_cli.paper.figures.figure_files import write_figure
from cosface_cli.paper.published_values import IDENTITIES, MARGIN_OF_8, SCALES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def bounds(config: BoundsConfig, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each number of identities: the lower bound of s by probability, the upper bound of m in 2 and in K
    dimensions.

    m_far_below: whether there are more than K + 1 identities; then the largest m is far below m_bound = C / (C - 1).
    Raises CosfaceError if no number of identities is given.
    """
    if not config.identities:
        raise CosfaceError("--identities needs at least one number", hint="give --identities 8,10575")
    counts = sorted(set(config.identities))
    rows = [_row(count, config.embedding_size) for count in counts]
    emit(Done("bounds"))

    def draw(figure: Figure) -> None:
        scales, margins = figure.subplots(1, 2)
        _draw_scales(scales, counts)
        _draw_margins(margins, counts, config.embedding_size)
        for axes in (scales, margins):
            axes.set_xscale("log")
            axes.set_xlabel("identities C")
            axes.legend()

    return write_figure(
        config.out / "bounds",
        source="Eq. 6-7",
        rows=rows,
        details={"embedding_size": config.embedding_size},
        size=(9.0, 3.6),
        draw=draw,
        emit=emit,
    )


def _row(identities: int, embedding_size: int) -> dict[str, object]:
    row: dict[str, object] = {"identities": identities}
    for probability, published in SCALES.items():
        row[f"s_bound_{probability:g}"] = scale_lower_bound(identities, probability)
        row[f"paper_s_bound_{probability:g}"] = published if identities == IDENTITIES else None
    row["m_bound_2d"] = margin_upper_bound(identities, 2)
    row["paper_m_bound_2d"] = MARGIN_OF_8 if identities == 8 else None
    row["m_bound"] = margin_upper_bound(identities, embedding_size)
    row["m_far_below"] = embedding_size > 2 and identities > embedding_size + 1
    return row


def _curve_points(counts: list[int]) -> tuple[list[int], list[int]]:
    """Numbers of identities for a smooth curve, and the positions of `counts` among them."""
    points = sorted({*counts, *np.geomspace(counts[0], counts[-1], 200).round().astype(int).tolist()})
    return points, [points.index(count) for count in counts]


def _draw_scales(axes: Axes, counts: list[int]) -> None:
    points, markers = _curve_points(counts)
    for probability, published in SCALES.items():
        least = [scale_lower_bound(count, probability) for count in points]
        (line,) = axes.plot(points, least, "o-", ms=4, markevery=markers, label=f"$P_W$ = {probability:g}")
        if IDENTITIES in counts:
            axes.plot(IDENTITIES, published, "s", ms=9, mfc="none", color=line.get_color())
    axes.plot([], [], "s", ms=9, mfc="none", color="0.3", label="the paper's")
    axes.set_title("least s (Eq. 6)")


def _draw_margins(axes: Axes, counts: list[int], embedding_size: int) -> None:
    points, markers = _curve_points(counts)
    planar = [margin_upper_bound(count, 2) for count in points]
    axes.plot(points, planar, "o-", ms=4, markevery=markers, label="K = 2: 1 - cos(2$\\pi$/C)")
    if embedding_size > 2:
        most = embedding_size + 1
        for label, line_style, part in (
            (f"K = {embedding_size}: C/(C-1)", "-", [count for count in points if count <= most]),
            ("far below this", ":", [count for count in points if count > most]),
        ):
            axes.plot(part, [count / (count - 1) for count in part], line_style, color="C1", label=label)
    if 8 in counts:
        axes.plot(8, MARGIN_OF_8, "s", ms=9, mfc="none", color="0.3", label="the paper's")
    axes.set_title("largest m (Eq. 7)")
