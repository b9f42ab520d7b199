"""cosface verify leakage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cosface_cli import shared_options as options
from cosface_cli.console import following, say
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, EXIT_PART
from cosface_cli.verify import share_cores
from cosface_cli.verify.leakage import LeakageConfig

LEAKAGE = LeakageConfig(train=Path(), test=Path())


def leakage(
    train: Annotated[Path, typer.Argument(metavar="TRAIN.h5", help="The store of what a model was trained on.")],
    test: Annotated[Path, typer.Argument(metavar="TEST", help="A store, crops or photos that it is tested on.")],
    model: Annotated[str | None, typer.Option(help="What embeds photos; else the store's own.")] = LEAKAGE.model,
    threshold: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Cosine from which two people's mean faces are one person's.")
    ] = LEAKAGE.threshold,
    far: Annotated[
        float,
        typer.Option(min=0, max=1, help="Else: the share of TRAIN's faces as near to other people's mean."),
    ] = LEAKAGE.far,
    pairs: Annotated[Path | None, typer.Option(help="A list of TEST's pairs, to be scored again.")] = LEAKAGE.pairs,
    detector: options.DetectorName = LEAKAGE.detector,
    faces: options.Faces = LEAKAGE.faces,
    min_face: options.MinFace = LEAKAGE.min_face,
    workers: options.Workers = LEAKAGE.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Find what TEST shares with TRAIN.h5, and score TEST without it. Exit 0: nothing; 1: something was found.

    The same file by its content; copies and mirror images by look, where the photos are still there; people by face.
    """
    share_cores()
    from cosface_cli.verify.leakage.stage import leakage as run

    config = LeakageConfig(train, test, model, threshold, far, pairs, detector, faces, min_face, workers)
    with following("leakage", output, quiet, ("kind", "cos", "test", "train")) as emit:
        report = run(config, emit)
        for part in report.scores:
            emit.rows.write({"kind": "score", **part})
    say(f"{report.same_files} files, {report.copies} copies, {report.people} people in both", quiet)
    if report.by_chance is not None:
        say(f"about {report.by_chance:.1f} pairs of people reach {report.threshold:.4f} by chance", quiet)
    if not report.clean:
        return EXIT_NO
    return EXIT_PART if emit.tally.rejected else EXIT_DONE
