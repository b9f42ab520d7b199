"""Make a figure or table of the paper by name: config in, report out."""

from __future__ import annotations

from collections.abc import Callable

from cosface_cli.engines.runtime.devices import wait_briefly
from cosface_cli.options import Checked
from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.paper import PaperReport
from cosface_cli.registry import Row, Table

FIGURES: Table[Callable[..., PaperReport]] = Table(
    "figure",
    Row(
        "fig4",
        "cosface_cli.paper.figures.fig4:fig4",
        "Figure 4: 2-D features of eight people under softmax, NSL and LMCL, on the plane and on the circle.",
    ),
    Row("fig5", "cosface_cli.paper.figures.fig5:fig5", "Figure 5: verification accuracy by the margin of LMCL."),
    Row("table1", "cosface_cli.paper.figures.table1:table1", "Table 1: LMCL with and without normalised features."),
    Row("table2", "cosface_cli.paper.figures.table2:table2", "Table 2: eight losses with the same data and network."),
    Row(
        "fig-boundary",
        "cosface_cli.paper.figures.fig_boundary:fig_boundary",
        "Figure 2: decision boundaries of softmax, NSL, A-Softmax and LMCL between two classes.",
    ),
    Row(
        "bounds",
        "cosface_cli.paper.figures.bounds_by_identities:bounds",
        "The bounds of s and m by number of identities (Eq. 6 and 7).",
    ),
)


def make_figure(name: str, config: Checked, emit: OnOutcome = ignore) -> PaperReport:
    """The report of a figure or table; with config.dry_run, the time that its trainings take. Raises CosfaceError."""
    wait_briefly()
    return FIGURES.load(name)(config, emit)
