"""cosface align: photos -> aligned crops and a manifest."""

from __future__ import annotations

from cosface_cli.align import AlignConfig
from cosface_cli.command_line import command
from cosface_cli.console import Terminal

COLUMNS = ("source", "crop", "status", "reason", "score")


@command(
    AlignConfig,
    examples=(
        "cosface align ./photos ./aligned",
        "cosface align ./photos ./aligned --faces all --min-face 40 --report",
        "find ./photos -newer last-run | cosface align - ./aligned --root ./photos",
    ),
)
def align(config: AlignConfig, terminal: Terminal) -> int:
    """Find the faces in photos and cut them out, aligned.

    Sub-folders are kept; the first level is the identity. Rejected photos are listed, with the reason, in
    ALIGNED/rejects.jsonl. If a run is interrupted, run the same command again and it continues. Later runs only work
    on new and changed photos.
    """
    from cosface_cli.align.stage import align as run

    with terminal.stage_output("align", COLUMNS) as emit:
        run(config, emit)
    return emit.exit_code
