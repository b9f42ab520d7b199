"""cosface train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from cosface_cli.command_line import command
from cosface_cli.console import Terminal
from cosface_cli.engines.runtime.devices import wait_briefly
from cosface_cli.options import Checked, option
from cosface_cli.outcomes import EXIT_DONE, EXIT_FAILED
from cosface_cli.train import OUTPUT, TrainConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintOnly(Checked):
    """Options to print something instead of training."""

    dry_run: Annotated[
        bool, option("Print what is known before the first step: bounds, memory, time.", group=OUTPUT)
    ] = False
    list_recipes: Annotated[bool, option("Print the recipes.", group=OUTPUT)] = False
    list_losses: Annotated[bool, option("Print the losses.", group=OUTPUT)] = False


@command(
    TrainConfig,
    PrintOnly,
    examples=(
        "cosface train --m 0.35",
        "cosface train aligned --recipe finetune --start default --out runs/mine",
        "cosface train train.rec --gpus 8 --recipe iresnet50-millions --dry-run",
    ),
)
def train(config: TrainConfig, print_only: PrintOnly, terminal: Terminal) -> int:
    """Train a network on aligned crops. If it is interrupted, run the same command again and it resumes."""
    if print_only.list_recipes:
        from cosface_cli.train.setup.recipes import all_recipes

        terminal.print_rows({"recipe": recipe.name, "for": recipe.summary, **recipe.values} for recipe in all_recipes())
        return EXIT_DONE
    if print_only.list_losses:
        from cosface_cli.losses.loss_descriptions import describe_losses

        terminal.print_rows(
            {"loss": loss.name, "equation": loss.equation, "settings": loss.settings, "source": loss.source}
            for loss in describe_losses()
        )
        return EXIT_DONE
    wait_briefly()
    from cosface_cli.train import stage
    from cosface_cli.train.distributed.launch import StoppedElsewhere, is_main_process

    if not is_main_process():
        terminal = Terminal(format=terminal.format, quiet=True)
    run = stage.preflight if print_only.dry_run else stage.train
    try:
        with terminal.stage_output("train") as emit:
            run(config, emit)
    except StoppedElsewhere:  # the process that failed prints the error
        return EXIT_FAILED
    return EXIT_DONE
