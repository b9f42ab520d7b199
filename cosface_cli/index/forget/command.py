"""cosface index forget: remove a person from an index, its stores and crop folders."""

from __future__ import annotations

from dataclasses import asdict

from cosface_cli.command_line import command
from cosface_cli.console import Terminal
from cosface_cli.index.forget import ForgetConfig
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, EXIT_PART, Note, Outcome


@command(
    ForgetConfig,
    examples=(
        "cosface index forget people.index --identity 'Ann Lee'",
        "cosface index forget people.index --identity 'Ann Lee' --crops ./aligned --yes",
        "cosface index forget people.index --source ./photos/a.jpg --yes",
    ),
)
def forget(config: ForgetConfig, terminal: Terminal) -> int:
    """Remove a person, or a photo, from INDEX, its stores and its crop folders, and prove that no trace is left.

    Every file that cosface wrote is searched for the bytes of the embeddings, crops and names. A receipt, which has
    only hashes, records what was removed, and keeps these faces out of later builds. If it is interrupted, run the same
    command again and it finishes.
    """
    from cosface_cli.index.forget import stage

    def say_note(outcome: Outcome) -> None:
        if isinstance(outcome, Note):
            terminal.say(outcome.text)

    report = stage.forget(config, say_note)
    terminal.print_rows([asdict(report)])
    if report.remains:
        return EXIT_PART
    removed = f"{report.index_rows} rows of the index, {report.store_rows} rows of stores and {report.crops} crops"
    if report.done:
        searched = f"{report.files} files, {report.bytes / 1e6:.1f} MB searched"
        terminal.say(f"removed {removed}; {searched}, no trace found")
        return EXIT_DONE
    if report.index_rows or report.store_rows or report.crops:
        terminal.say(f"--yes would remove {removed}")
    else:
        terminal.say("no such person or photo")
    return EXIT_NO
