"""cosface verify: two photos, or a list of pairs -> scores and a decision."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cosface_cli import options
from cosface_cli.console import Rows, following, say
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, EXIT_PART, Note, Outcome
from cosface_cli.verify import PairsConfig, TwoConfig

TWO = TwoConfig(left=Path(), right=Path())
PAIRS = PairsConfig(root=Path(), pairs=Path())


def verify(
    paths: Annotated[list[Path], typer.Argument(metavar="A B | ROOT", help="Two photos, or the root of --pairs.")],
    pairs: Annotated[Path | None, typer.Option(help="A list like LFW's pairs.txt; scores ROOT by its folds.")] = None,
    model: options.Model = TWO.model,
    flip: options.FlipMode = TWO.flip,
    threshold: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Cosine from which A and B are one person, else the model's.")
    ] = TWO.threshold,
    template: Annotated[
        str | None, typer.Option(help="ROOT holds crops of this template, without a manifest.")
    ] = PAIRS.crops_template,
    detector: options.DetectorName = TWO.detector,
    faces: Annotated[
        str | None, typer.Option(help="Which face of a photo: largest (of A and B) or center (of --pairs, LFW's rule).")
    ] = None,
    min_face: options.MinFace = TWO.min_face,
    allow_missing: Annotated[
        int, typer.Option(min=0, help="With --pairs: photos without a face that may be; their pairs count as errors.")
    ] = PAIRS.allow_missing,
    workers: options.Workers = PAIRS.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Say whether two photos show one person (exit 0) or two (exit 1), or score a list of pairs.

    The score is the cosine of the embeddings. With --pairs each fold's threshold is chosen on the other folds.
    """
    if pairs is None:
        if len(paths) != 2:
            raise CosfaceError(f"two photos are compared, {len(paths)} given", mend="give A B, or ROOT with --pairs")
        if template is not None or allow_missing or workers:
            raise CosfaceError("--template, --allow-missing and --workers go with --pairs", mend="leave them out")
        two = TwoConfig(paths[0], paths[1], model, flip, threshold, detector, faces or TWO.faces, min_face)
        return _two(two, output, quiet)
    if len(paths) != 1:
        raise CosfaceError(f"--pairs takes one root folder, {len(paths)} given", mend="give the folder above people's")
    if threshold is not None:
        raise CosfaceError("--threshold goes with two photos", mend="leave it out: --pairs chooses its own by folds")
    chosen = faces or PAIRS.faces
    config = PairsConfig(paths[0], pairs, model, flip, template, detector, chosen, min_face, allow_missing, workers)
    return _pairs(config, output, quiet)


def _two(config: TwoConfig, output: options.Output | None, quiet: bool) -> int:
    from cosface_cli.verify.two import verify_two

    def tell(outcome: Outcome) -> None:
        if isinstance(outcome, Note):
            say(outcome.text, quiet)

    report = verify_two(config, tell)
    rows = Rows(output, ("cos", "threshold", "same", "far", "model"))
    rows.write(asdict(report))
    rows.close()
    return EXIT_DONE if report.same else EXIT_NO


def _pairs(config: PairsConfig, output: options.Output | None, quiet: bool) -> int:
    from cosface_cli.verify.pairs import verify_pairs

    columns = ("protocol", "pairs", "folds", "accuracy", "accuracy_se", "model", "seconds")
    with following("verify", output, quiet, columns) as tell:
        report = verify_pairs(config, tell)
        tell.rows.write(asdict(report))
    if len(report.missing) > config.allow_missing:
        shown = ", ".join(report.missing[:3]) + (", ..." if len(report.missing) > 3 else "")
        say(f"cosface: {len(report.missing)} photos gave no score ({shown}); their pairs count as errors")
        return EXIT_PART
    return EXIT_DONE
