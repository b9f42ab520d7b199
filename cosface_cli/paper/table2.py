"""Table 2: eight losses with the same data and network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.paper import PaperReport, TableConfig
from cosface_cli.paper.comparison import Entry, compare
from cosface_cli.paper.plots import side_by_side
from cosface_cli.paper.published import TABLE2
from cosface_cli.paper.results import write
from cosface_cli.paper.runs import CONTRASTIVE, SOFTMAX, TRIPLET, Run, lmcl, margin_differences, steps_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# SphereFace's: lambda falls from 1000 to 5 in 1,658 of its 28,000 steps
_MOST, _LEAST, _GAMMA = 1000.0, 5.0, 0.12


def annealing(steps: int) -> dict[str, float]:
    """SphereFace's lambda, faster where it would not reach its least in the first third of the steps: until then there
    is little of the margin. L-Softmax's is the same, as its own (Liu 2016) needs tens of thousands of steps."""
    gamma = max(_GAMMA, 3 * (_MOST / _LEAST - 1) / steps)
    return {"lambda_min": _LEAST, "lambda_max": _MOST, "gamma": gamma, "power": 1.0}


def trainings(m: float, steps: int) -> dict[str, Run]:
    """The runs by the paper's name of the loss. m: LMCL's margin; steps: of each."""
    annealed = {"loss_options": annealing(steps)}
    return {
        "Softmax": SOFTMAX,
        "Softmax+Contrastive": CONTRASTIVE,
        "Triplet": TRIPLET,
        "L-Softmax": Run("l-softmax", "l-softmax", annealed),
        "Softmax+Center": Run("center", "center"),
        "A-Softmax": Run("sphereface", "sphereface", annealed),
        "A-Softmax-NormFea": Run("sphereface-norm", "sphereface-norm", annealed),
        "LMCL": lmcl(m),
    }


def table2(config: TableConfig, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each loss, see compare. Raises CosfaceError as the stages do."""
    steps = steps_of(config.training)
    entries = [Entry({"loss": name}, run, TABLE2[name]) for name, run in trainings(config.m, steps).items()]
    found = compare(entries, config.training, config.measuring, config.seeds, config.out, emit)

    def draw(figure: Figure) -> None:
        ours, paper = found.column("accuracy"), found.column("paper_lfw")
        side_by_side(figure, list(TABLE2), ours, found.errors, found.bars, paper)

    gamma = annealing(steps)["gamma"]
    own = "" if gamma == _GAMMA else f", to its least in {(_MOST / _LEAST - 1) / gamma:.0f} steps, not 1,658"
    differs = (
        *found.differs,
        *margin_differences(config.m),
        f"A-Softmax, L-Softmax: lambda anneals as SphereFace's{own}",
        "pairs, triplets: of 4 crops a person",
    )
    more = {"runs": found.runs}
    return write(config.out / "table2", "Table 2", found.rows, differs, more, (8.0, 4.0), draw, emit)
