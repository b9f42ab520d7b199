"""Table 2: eight losses with the same data and network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.paper import PaperReport, TableConfig
from cosface_cli.paper.figures.drawing import side_by_side
from cosface_cli.paper.figures.figure_files import write_figure
from cosface_cli.paper.published_values import TABLE2
from cosface_cli.paper.trainings.loss_comparison import PlannedRow, compare
from cosface_cli.paper.trainings.paper_differences import margin_differences
from cosface_cli.paper.trainings.planned_training import (
    CONTRASTIVE,
    SOFTMAX,
    TRIPLET,
    PlannedTraining,
    lmcl,
    step_count,
)
from cosface_cli.paper.trainings.training_costs import cost_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# SphereFace's annealing: lambda falls from 1000 to 5 in 1,658 of its 28,000 steps
_LAMBDA_MAX, _LAMBDA_MIN, _GAMMA = 1000.0, 5.0, 0.12


def annealing(steps: int) -> dict[str, float]:
    """The options of SphereFace's annealing. lambda falls faster than published if it would not reach its minimum in
    the first third of the steps, because until then the margin has little effect. L-Softmax uses the same annealing,
    since the published one (Liu 2016) needs tens of thousands of steps."""
    gamma = max(_GAMMA, 3 * (_LAMBDA_MAX / _LAMBDA_MIN - 1) / steps)
    return {"lambda_min": _LAMBDA_MIN, "lambda_max": _LAMBDA_MAX, "gamma": gamma, "power": 1.0}


def trainings(m: float, steps: int) -> dict[str, PlannedTraining]:
    """The trainings by the paper's name of the loss. m: margin of LMCL; steps: of each training."""
    annealed = {"loss_options": annealing(steps)}
    return {
        "Softmax": SOFTMAX,
        "Softmax+Contrastive": CONTRASTIVE,
        "Triplet": TRIPLET,
        "L-Softmax": PlannedTraining("l-softmax", "l-softmax", annealed),
        "Softmax+Center": PlannedTraining("center", "center"),
        "A-Softmax": PlannedTraining("sphereface", "sphereface", annealed),
        "A-Softmax-NormFea": PlannedTraining("sphereface-norm", "sphereface-norm", annealed),
        "LMCL": lmcl(m),
    }


def table2(config: TableConfig, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each loss, see compare. Raises CosfaceError as the stages do."""
    steps = step_count(config)
    plans = trainings(config.m, steps)
    if config.dry_run:
        return cost_report("table2", list(plans.values()), config, config.seeds, emit)
    result = compare([PlannedRow({"loss": name}, plan, TABLE2[name]) for name, plan in plans.items()], config, emit)

    def draw(figure: Figure) -> None:
        ours, paper = result.column("accuracy"), result.column("paper_lfw")
        side_by_side(figure, list(TABLE2), ours, result.errors, result.error_kind, paper)

    gamma = annealing(steps)["gamma"]
    faster = (
        "" if gamma == _GAMMA else f", to its minimum in {(_LAMBDA_MAX / _LAMBDA_MIN - 1) / gamma:.0f} steps, not 1,658"
    )
    differs = (
        *result.differs,
        *margin_differences(config.m),
        f"A-Softmax, L-Softmax: the annealing of lambda is SphereFace's{faster}",
        "pairs, triplets: from 4 crops of each person in a batch",
    )
    return write_figure(
        config.out / "table2",
        source="Table 2",
        rows=result.rows,
        differs=differs,
        details={"runs": result.runs},
        size=(8.0, 4.0),
        draw=draw,
        emit=emit,
    )
