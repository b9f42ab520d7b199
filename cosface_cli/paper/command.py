"""cosface paper: the figures and tables of Wang 2018, made from your own crops."""

from __future__ import annotations

from cosface_cli.command_line import Command, Group, command
from cosface_cli.console import Terminal
from cosface_cli.options import Checked
from cosface_cli.paper import BoundaryConfig, BoundsConfig, Fig4Config, Fig5Config, TableConfig
from cosface_cli.paper.stage import FIGURES, make_figure

_LFW = "--pairs pairs.txt --root ./lfw"


def _figure(name: str, config_class: type[Checked], *examples: str) -> Command:
    def figure(config: Checked, terminal: Terminal) -> int:
        with terminal.stage_output("paper") as emit:
            for row in make_figure(name, config, emit).rows:
                emit.rows.write(row)
        return emit.exit_code

    figure.__doc__ = FIGURES.row(name).summary
    return command(config_class, examples=tuple(f"cosface paper {name} {words}".rstrip() for words in examples))(figure)


paper = Group(
    "The figures and tables of the CosFace paper, made from your own crops.",
    {
        "fig4": _figure("fig4", Fig4Config, "./aligned", "./aligned --people 5 --margins 0,0.3 --dry-run"),
        "fig5": _figure("fig5", Fig5Config, f"./aligned {_LFW}", f"./aligned {_LFW} --margins 0,0.35 --seeds 0,1,2"),
        "table1": _figure("table1", TableConfig, f"./aligned {_LFW}", f"./aligned {_LFW} --dry-run"),
        "table2": _figure("table2", TableConfig, f"./aligned {_LFW}", f"./aligned {_LFW} --recipe my-recipe.toml"),
        "fig-boundary": _figure("fig-boundary", BoundaryConfig, "", "--m 0.5 --out ./figures"),
        "bounds": _figure("bounds", BoundsConfig, "", "--identities 8,10575 --embedding-size 128"),
    },
)
