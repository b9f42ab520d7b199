"""Table 1: LMCL with and without normalised features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.paper import PaperReport, TableConfig
from cosface_cli.paper.figures.drawing import side_by_side
from cosface_cli.paper.figures.figure_files import write_figure
from cosface_cli.paper.published_values import TABLE1
from cosface_cli.paper.trainings.loss_comparison import PlannedRow, compare
from cosface_cli.paper.trainings.paper_differences import margin_differences
from cosface_cli.paper.trainings.planned_training import SOFTMAX, PlannedTraining, lmcl
from cosface_cli.paper.trainings.training_costs import cost_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trainings(m: float) -> dict[bool, PlannedTraining]:
    """The trainings by whether features are normalised. Without normalisation, training starts from the weights of
    softmax, as in the paper (section 4.2)."""
    without = PlannedTraining(f"cosface-unnormalised-m{m:g}", "cosface-unnormalised", {"m": m}, after=SOFTMAX)
    return {False: without, True: lmcl(m)}


def table1(config: TableConfig, emit: OnOutcome = ignore) -> PaperReport:
    """Two rows, see compare. Raises CosfaceError as the stages do."""
    plans = trainings(config.m)
    if config.dry_run:
        return cost_report("table1", list(plans.values()), config, config.seeds, emit)
    rows = [PlannedRow({"normalisation": normal}, plan, TABLE1[normal]) for normal, plan in plans.items()]
    result = compare(rows, config, emit)

    def draw(figure: Figure) -> None:
        ours, paper = result.column("accuracy"), result.column("paper_lfw")
        side_by_side(figure, ["without", "with"], ours, result.errors, result.error_kind, paper)

    start = "without normalisation: starts from softmax and has as many steps; the paper does not give the number"
    return write_figure(
        config.out / "table1",
        source="Table 1",
        rows=result.rows,
        differs=(*result.differs, *margin_differences(config.m), start),
        details={"runs": result.runs},
        size=(7.0, 2.2),
        draw=draw,
        emit=emit,
    )
