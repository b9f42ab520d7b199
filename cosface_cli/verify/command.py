"""cosface verify: two photos, one against many, or a list of pairs -> scores and a decision."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cosface_cli import options
from cosface_cli.console import Rows, following, say
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, EXIT_PART, Note, Outcome
from cosface_cli.verify import CompareConfig, PairsConfig

COMPARE = CompareConfig()
PAIRS = PairsConfig(root=Path(), pairs=Path())
COLUMNS = ("cos", "same", "far", "far_low", "far_high", "threshold", "left", "right", "model")


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="A B | A GALLERY | - | ROOT",
            help="Two photos; a photo and a folder, archive or store of many; pairs on stdin; the root of --pairs.",
        ),
    ],
    pairs: Annotated[Path | None, typer.Option(help="A list like LFW's pairs.txt; scores ROOT by its folds.")] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="<str>",
            help="dlib (default), dlib-int8, a run folder, its weights, or an .onnx file; several are fused.",
        ),
    ] = None,
    fuse: Annotated[
        str, typer.Option(help="Several models: mean of their cosines, or concat of their embeddings.")
    ] = COMPARE.fuse,
    flip: options.FlipMode = COMPARE.flip,
    stores: Annotated[
        list[Path] | None,
        typer.Option("--store", metavar="<path>", help="A and B are rows of this store; several are fused."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Cosine from which two are one person, else the model's.")
    ] = COMPARE.threshold,
    far: Annotated[
        float, typer.Option(min=0, max=1, help="False accept rate whose threshold is taken from the calibration.")
    ] = COMPARE.far,
    calibration: Annotated[
        Path | None, typer.Option(help="A file of cosface verify calibrate, else the model's own.")
    ] = COMPARE.calibration,
    template: Annotated[
        str | None, typer.Option(help="ROOT holds crops of this template, without a manifest.")
    ] = PAIRS.crops_template,
    detector: options.DetectorName = COMPARE.detector,
    faces: Annotated[
        str | None,
        typer.Option(help="Which face of a photo: largest, all or center (LFW's rule, usual with --pairs)."),
    ] = None,
    min_face: options.MinFace = COMPARE.min_face,
    allow_missing: Annotated[
        int, typer.Option(min=0, help="With --pairs: photos without a face that may be; their pairs count as errors.")
    ] = PAIRS.allow_missing,
    workers: options.Workers = COMPARE.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Say whether two photos show one person (exit 0) or two (exit 1), or score a list of pairs.

    The score is the cosine of the embeddings; far is the share of pairs of two people that score as much. With --pairs
    each fold's threshold is chosen on the other folds. Pairs on stdin: a line each, A<TAB>B or {"left": A, "right": B},
    or all names by NUL. More: cosface verify calibrate --help, cosface verify leakage --help.
    """
    if pairs is None:
        if template is not None or allow_missing:
            raise CosfaceError("--template and --allow-missing go with --pairs", mend="leave them out")
        config = CompareConfig(
            tuple(models or ()),
            fuse,
            flip,
            tuple(stores or ()),
            threshold,
            far,
            calibration,
            detector,
            faces or COMPARE.faces,
            min_face,
            workers,
        )
        return _compared([str(path) for path in paths], config, output, quiet)
    if len(paths) != 1:
        raise CosfaceError(f"--pairs takes one root folder, {len(paths)} given", mend="give the folder above people's")
    if threshold is not None or calibration is not None or far != COMPARE.far:
        raise CosfaceError("--threshold, --far and --calibration go with two photos", mend="--pairs chooses by folds")
    if stores or len(models or ()) > 1:
        raise CosfaceError("--pairs takes one model and photos", mend="leave --store and all but one --model out")
    model = models[0] if models else PAIRS.model
    chosen = faces or PAIRS.faces
    return _pairs(
        PairsConfig(paths[0], pairs, model, flip, template, detector, chosen, min_face, allow_missing, workers),
        output,
        quiet,
    )


def _compared(names: list[str], config: CompareConfig, output: options.Output | None, quiet: bool) -> int:
    if names == ["-"]:
        return _listed(config, output, quiet)
    if not 1 <= len(names) <= 2 or (len(names) == 1 and not config.stores):
        mend = "give A B, a photo and a folder of many, - for pairs on stdin, or ROOT with --pairs"
        raise CosfaceError(f"two photos are compared, {len(names)} given", mend=mend)
    from cosface_cli.verify.compare import are_many, compare_many, compare_two

    left, right = names[0], names[1] if len(names) == 2 else None
    if right is None or (not config.stores and are_many(right)):
        with following("verify", output, quiet, COLUMNS) as tell:
            report = compare_many(left, right, config, tell)
        return EXIT_NO if tell.exit_code == EXIT_DONE and not report.same else tell.exit_code

    def hear(outcome: Outcome) -> None:
        if isinstance(outcome, Note):
            say(outcome.text, quiet)

    matches = compare_two(left, right, config, hear)
    rows = Rows(output, COLUMNS)
    for match in matches:
        rows.write(asdict(match))
    rows.close()
    return EXIT_DONE if any(match.same for match in matches) else EXIT_NO


def _listed(config: CompareConfig, output: options.Output | None, quiet: bool) -> int:
    import sys

    from cosface_cli.verify.compare import compare_list
    from cosface_cli.verify.pair_lines import split_pairs

    with following("verify", output, quiet, COLUMNS) as tell:
        report = compare_list(split_pairs(sys.stdin.buffer.read()), config, tell)
    return EXIT_NO if tell.exit_code == EXIT_DONE and not report.same else tell.exit_code


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
