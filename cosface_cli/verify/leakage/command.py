"""cosface verify leakage."""

from __future__ import annotations

from cosface_cli.command_line import command
from cosface_cli.console import Terminal
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, EXIT_PART
from cosface_cli.verify.faces import keep_blas_single_threaded
from cosface_cli.verify.leakage import LeakageConfig


@command(
    LeakageConfig,
    examples=(
        "cosface verify leakage train.h5 test.h5",
        "cosface verify leakage train.h5 ./lfw --pairs pairs.txt",
    ),
)
def leakage(config: LeakageConfig, terminal: Terminal) -> int:
    """Find what TEST shares with TRAIN.h5, and score TEST without it. Exit code 0: nothing is shared; 1: something is.

    The same files are found by their content; copies and mirror images by their thumbnails, if the photos still exist;
    people by their faces.
    """
    keep_blas_single_threaded()
    from cosface_cli.verify.leakage.stage import leakage as run

    with terminal.stage_output("leakage", ("kind", "cos", "test", "train")) as emit:
        report = run(config, emit)
        for part in report.scores:
            emit.rows.write({"kind": "score", **part})
    terminal.say(f"{report.same_files} files, {report.copies} copies, {report.people} people in both")
    if report.by_chance is not None:
        terminal.say(f"about {report.by_chance:.1f} pairs of people reach {report.threshold:.4f} by chance")
    if not report.clean:
        return EXIT_NO
    return EXIT_PART if emit.tally.rejected else EXIT_DONE
