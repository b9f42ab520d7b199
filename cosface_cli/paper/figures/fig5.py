"""Figure 5: verification accuracy by LMCL's margin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosface_cli.artifacts.pages.plots import WARN
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.paper import Fig5Config, PaperReport
from cosface_cli.paper.figures.drawing import OURS, PAPER
from cosface_cli.paper.figures.figure_files import write_figure
from cosface_cli.paper.published_values import FIG5, FIG5_WORDS
from cosface_cli.paper.trainings.loss_comparison import Comparison, PlannedRow, compare
from cosface_cli.paper.trainings.planned_training import PlannedTraining, lmcl
from cosface_cli.paper.trainings.training_costs import cost_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trainings(margins: tuple[float, ...]) -> dict[float, PlannedTraining]:
    """The trainings by margin, in ascending order. Raises CosfaceError if no margin is given."""
    if not margins:
        raise CosfaceError("--margins needs at least one margin", hint="the paper's are 0,0.15,0.25,0.35,0.45")
    return {m: lmcl(m) for m in sorted(set(margins))}


def fig5(config: Fig5Config, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each margin, see compare. Raises CosfaceError as the stages do."""
    plans = trainings(config.margins)
    if config.dry_run:
        return cost_report("fig5", list(plans.values()), config, config.seeds, emit)
    result = compare([PlannedRow({"m": m}, plan, FIG5.get(m, {})) for m, plan in plans.items()], config, emit)

    def draw(figure: Figure) -> None:
        _draw(figure, result)

    return write_figure(
        config.out / "fig5",
        source="Figure 5",
        rows=result.rows,
        differs=result.differs,
        details={"runs": result.runs, "paper": FIG5_WORDS},
        size=(5.0, 3.4),
        draw=draw,
        emit=emit,
    )


def _draw(figure: Figure, result: Comparison) -> None:
    axes = figure.subplots()
    measured = [
        (m, 100 * accuracy, 100 * (error or 0.0))
        for m, accuracy, error in zip(result.column("m"), result.column("accuracy"), result.errors, strict=True)
        if accuracy is not None
    ]
    if measured:
        margins, values, errors = zip(*measured, strict=True)
        axes.errorbar(margins, values, yerr=errors, fmt="o-", color=OURS, capsize=3)
    for m, accuracy in zip(result.column("m"), result.column("accuracy"), strict=True):
        if accuracy is None:
            axes.axvline(m, color=WARN, ls=":")
            axes.text(m, 0.02, "stopped", transform=axes.get_xaxis_transform(), rotation=90, ha="right", color=WARN)
    for m, row in FIG5.items():
        axes.axvline(m, color=PAPER, ls="--", lw=1)
        words = f"the paper's choice:\n{100 * row['paper_lfw']:.2f} on LFW"
        axes.text(m, 0.03, words, transform=axes.get_xaxis_transform(), ha="right", fontsize=8, color=PAPER)
    axes.set_xlabel("margin m")
    axes.set_ylabel(f"accuracy here, %\n(bars: {result.error_kind})")
