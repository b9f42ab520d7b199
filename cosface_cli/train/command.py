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
class Instead(Checked):
    """What to print instead of training."""

    dry_run: Annotated[
        bool, option("Print what can be known before the first step: bounds, memory, time.", group=OUTPUT)
    ] = False
    list_recipes: Annotated[bool, option("Print the recipes.", group=OUTPUT)] = False
    list_losses: Annotated[bool, option("Print the losses.", group=OUTPUT)] = False


@command(
    TrainConfig,
    Instead,
    examples=(
        "cosface train --m 0.35",
        "cosface train aligned --recipe finetune --start default --out runs/mine",
        "cosface train train.rec --gpus 8 --recipe iresnet50-millions --dry-run",
    ),
)
def train(config: TrainConfig, instead: Instead, terminal: Terminal) -> int:
    """Train a network on aligned crops. If it is interrupted, run the same command again and it resumes."""
    if instead.list_recipes:
        from cosface_cli.train.setup.recipes import all_recipes

        terminal.print_rows({"recipe": found.name, "for": found.summary, **found.values} for found in all_recipes())
        return EXIT_DONE
    if instead.list_losses:
        from cosface_cli.losses.loss_descriptions import describe_losses

        terminal.print_rows(
            {"loss": found.name, "equation": found.equation, "settings": found.settings, "source": found.source}
            for found in describe_losses()
        )
        return EXIT_DONE
    wait_briefly()
    from cosface_cli.train import stage
    from cosface_cli.train.distributed.launch import StoppedElsewhere, is_main_process

    if not is_main_process():
        terminal = Terminal(format=terminal.format, quiet=True)
    run = stage.preflight if instead.dry_run else stage.train
    try:
        with terminal.stage_output("train") as emit:
            run(config, emit)
    except StoppedElsewhere:  # that process prints why
        return EXIT_FAILED
    return EXIT_DONE
