"""The bounds of s (Eq. 6) and m (Eq. 7) by number of identities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bounds import margin_upper_bound, scale_lower_bound
from cosface_cli.outcomes import Done, OnOutcome, ignore
from cosface_cli.paper import BoundsConfig, PaperReport
from cosface_cli.paper.published import IDENTITIES, MARGIN_OF_8, SCALES
from cosface_cli.paper.results import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bounds(config: BoundsConfig, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each number of identities: the least s by probability, the largest m in 2 and in K dimensions.

    m_far_below: there are more identities than K + 1, and the largest m lies far below m_bound, which is C / (C - 1).
    Raises CosfaceError for fewer than 2 identities or dimensions.
    """
    if min(config.identities, default=0) < 2 or config.embedding_size < 2:
        raise CosfaceError("bounds are of 2 identities or more in 2 dimensions or more", hint="raise --identities")
    counts = sorted(set(config.identities))
    rows = [_row(count, config.embedding_size) for count in counts]
    emit(Done("bounds"))
    more = {"embedding_size": config.embedding_size}

    def draw(figure: Figure) -> None:
        _draw(figure, counts, config.embedding_size)

    return write(config.out / "bounds", "Eq. 6-7", rows, (), more, (9.0, 3.6), draw, emit)


def _row(identities: int, embedding_size: int) -> dict[str, Any]:
    row: dict[str, Any] = {"identities": identities}
    for probability, published in SCALES.items():
        row[f"s_bound_{probability:g}"] = scale_lower_bound(identities, probability)
        row[f"paper_s_bound_{probability:g}"] = published if identities == IDENTITIES else None
    row["m_bound_2d"] = margin_upper_bound(identities, 2)
    row["paper_m_bound_2d"] = MARGIN_OF_8 if identities == 8 else None
    row["m_bound"] = margin_upper_bound(identities, embedding_size)
    row["m_far_below"] = embedding_size > 2 and identities > embedding_size + 1
    return row


def _draw(figure: Figure, counts: list[int], embedding_size: int) -> None:
    scales, margins = figure.subplots(1, 2)
    between = sorted({*counts, *np.geomspace(counts[0], counts[-1], 200).round().astype(int).tolist()})
    at = [between.index(count) for count in counts]  # where the points are
    for probability, published in SCALES.items():
        least = [scale_lower_bound(count, probability) for count in between]
        (line,) = scales.plot(between, least, "o-", ms=4, markevery=at, label=f"$P_W$ = {probability:g}")
        if IDENTITIES in counts:
            scales.plot(IDENTITIES, published, "s", ms=9, mfc="none", color=line.get_color())
    scales.plot([], [], "s", ms=9, mfc="none", color="0.3", label="the paper's")
    scales.set_title("least s (Eq. 6)")
    planar = [margin_upper_bound(count, 2) for count in between]
    margins.plot(between, planar, "o-", ms=4, markevery=at, label="K = 2: 1 - cos(2$\\pi$/C)")
    if embedding_size > 2:
        most = embedding_size + 1
        for label, line_style, part in (
            (f"K = {embedding_size}: C/(C-1)", "-", [count for count in between if count <= most]),
            ("far below this", ":", [count for count in between if count > most]),
        ):
            margins.plot(part, [count / (count - 1) for count in part], line_style, color="C1", label=label)
    if 8 in counts:
        margins.plot(8, MARGIN_OF_8, "s", ms=9, mfc="none", color="0.3", label="the paper's")
    margins.set_title("largest m (Eq. 7)")
    for axes in (scales, margins):
        axes.set_xscale("log")
        axes.set_xlabel("identities C")
        axes.legend()
