"""Table 2: eight losses with the same data and network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosface_cli.outcomes import Tell, ignore
from cosface_cli.paper import PaperReport, TableConfig
from cosface_cli.paper.comparison import Entry, compare
from cosface_cli.paper.plots import side_by_side
from cosface_cli.paper.published import TABLE2
from cosface_cli.paper.results import write
from cosface_cli.paper.runs import CONTRASTIVE, SOFTMAX, TRIPLET, Run, lmcl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Liu 2016 anneals lambda for MNIST by a power that needs tens of thousands of steps: here as SphereFace does
_ANNEALED = {"lambda_min": 5.0, "lambda_max": 1000.0, "gamma": 0.12, "power": 1.0}


def trainings(m: float) -> dict[str, Run]:
    """The runs by the paper's name of the loss. m: LMCL's margin."""
    return {
        "Softmax": SOFTMAX,
        "Softmax+Contrastive": CONTRASTIVE,
        "Triplet": TRIPLET,
        "L-Softmax": Run("l-softmax", "l-softmax", {"loss_options": _ANNEALED}),
        "Softmax+Center": Run("center", "center"),
        "A-Softmax": Run("sphereface", "sphereface"),
        "A-Softmax-NormFea": Run("sphereface-norm", "sphereface-norm"),
        "LMCL": lmcl(m),
    }


def table2(config: TableConfig, tell: Tell = ignore) -> PaperReport:
    """A row for each loss, see compare. Raises CosfaceError as the stages do."""
    entries = [Entry({"loss": name}, run, TABLE2[name]) for name, run in trainings(config.m).items()]
    found = compare(entries, config.training, config.measuring, config.seeds, config.out, tell)

    def draw(figure: Figure) -> None:
        side_by_side(figure, list(TABLE2), found.column("accuracy"), found.errors, found.column("paper_lfw"))

    differs = (*found.differs, "L-Softmax: its lambda anneals as A-Softmax's", "pairs, triplets: of 4 crops a person")
    more = {"runs": found.runs}
    return write(config.out / "table2", "Table 2", found.rows, differs, more, (8.0, 4.0), draw, tell)
