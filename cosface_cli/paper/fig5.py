"""Figure 5: verification accuracy by LMCL's margin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cosface_cli.artifacts.pages.plots import WARN
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome, ignore
from cosface_cli.paper import Fig5Config, PaperReport
from cosface_cli.paper.comparison import Comparison, Entry, compare
from cosface_cli.paper.plots import OURS, PAPER
from cosface_cli.paper.published import FIG5, FIG5_WORDS
from cosface_cli.paper.results import write
from cosface_cli.paper.runs import Run, lmcl

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def trainings(margins: tuple[float, ...]) -> dict[float, Run]:
    """The runs by margin, in their order. Raises CosfaceError where a margin is none."""
    if not margins or not all(0 <= m < 1 for m in margins):
        raise CosfaceError("--margins must be from 0 to below 1", hint="the paper's are 0,0.15,0.25,0.35,0.45")
    return {m: lmcl(m) for m in sorted(set(margins))}


def fig5(config: Fig5Config, emit: OnOutcome = ignore) -> PaperReport:
    """A row for each margin, see compare. Raises CosfaceError as the stages do."""
    entries = [Entry({"m": m}, run, FIG5.get(m, {})) for m, run in trainings(config.margins).items()]
    found = compare(entries, config.training, config.measuring, config.seeds, config.out, emit)
    more = {"runs": found.runs, "paper": FIG5_WORDS}

    def draw(figure: Figure) -> None:
        _draw(figure, found)

    return write(config.out / "fig5", "Figure 5", found.rows, found.differs, more, (5.0, 3.4), draw, emit)


def _draw(figure: Figure, found: Comparison) -> None:
    axes = figure.subplots()
    measured = [
        (m, 100 * accuracy, 100 * (error or 0.0))
        for m, accuracy, error in zip(found.column("m"), found.column("accuracy"), found.errors, strict=True)
        if accuracy is not None
    ]
    if measured:
        margins, values, errors = zip(*measured, strict=True)
        axes.errorbar(margins, values, yerr=errors, fmt="o-", color=OURS, capsize=3)
    for m, accuracy in zip(found.column("m"), found.column("accuracy"), strict=True):
        if accuracy is None:
            where = axes.get_xaxis_transform()
            axes.axvline(m, color=WARN, ls=":")
            axes.text(m, 0.02, "stopped", transform=where, rotation=90, ha="right", color=WARN)
    for m, row in FIG5.items():
        axes.axvline(m, color=PAPER, ls="--", lw=1)
        words = f"the paper's choice:\n{100 * row['paper_lfw']:.2f} on LFW"
        axes.text(m, 0.03, words, transform=axes.get_xaxis_transform(), ha="right", fontsize=8, color=PAPER)
    axes.set_xlabel("margin m")
    axes.set_ylabel(f"accuracy here, %\n(bars: {found.bars})")
