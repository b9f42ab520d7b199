"""Table 1: LMCL with and without normalised features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.paper import PaperReport, TableConfig
from cosface_cli.paper.comparison import Entry, compare
from cosface_cli.paper.plots import side_by_side
from cosface_cli.paper.published import TABLE1
from cosface_cli.paper.results import write
from cosface_cli.paper.runs import SOFTMAX, Run, lmcl, margin_differences

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trainings(m: float) -> dict[bool, Run]:
    """The runs by whether features are normalised. Without it training begins with softmax's weights, as in the paper
    (section 4.2)."""
    without = Run(f"cosface-unnormalised-m{m:g}", "cosface-unnormalised", {"m": m}, after=SOFTMAX)
    return {False: without, True: lmcl(m)}


def table1(config: TableConfig, emit: OnOutcome = ignore) -> PaperReport:
    """Two rows, see compare. Raises CosfaceError as the stages do."""
    runs = trainings(config.m)
    entries = [Entry({"normalisation": normal}, run, TABLE1[normal]) for normal, run in runs.items()]
    found = compare(entries, config.training, config.measuring, config.seeds, config.out, emit)
    labels = ["without", "with"]

    def draw(figure: Figure) -> None:
        side_by_side(figure, labels, found.column("accuracy"), found.errors, found.bars, found.column("paper_lfw"))

    more = {"runs": found.runs}
    begun = "without normalisation: after softmax as many steps again; the paper's are not told"
    differs = (*found.differs, *margin_differences(config.m), begun)
    return write(config.out / "table1", "Table 1", found.rows, differs, more, (7.0, 2.2), draw, emit)
