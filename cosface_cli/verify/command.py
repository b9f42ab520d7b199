"""cosface verify: photos against photos -> scores and a decision; a protocol of the field -> its numbers."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import shared_options as options
from cosface_cli.console import Rows, following, say
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, EXIT_PART, Note, Outcome
from cosface_cli.verify import CompareConfig, ProtocolConfig, flag_of, share_cores
from cosface_cli.verify.protocols import PROTOCOLS

COMPARE = CompareConfig()
RUN = ProtocolConfig(source=Path())
COLUMNS = ("cos", "same", "far", "far_low", "far_high", "threshold", "left", "right", "model")


def verify(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="A B | A GALLERY | - | SOURCE",
            help="Two photos; a photo and a folder, archive or store of many; pairs on stdin; what a protocol scores.",
        ),
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help=f"Of SOURCE: {', '.join(PROTOCOLS.names)}; else guessed from its files.")
    ] = RUN.protocol,
    pairs: Annotated[
        Path | None, typer.Option(help="The protocol's list, such as LFW's pairs.txt; or a CSV of pairs to compare.")
    ] = RUN.pairs,
    model: Annotated[
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
    store: Annotated[
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
        str | None, typer.Option(help="SOURCE holds crops of this template, without a manifest.")
    ] = RUN.crops_template,
    detector: options.DetectorName = COMPARE.detector,
    faces: Annotated[
        str | None,
        typer.Option(help="Which face of a photo: largest or all (of A and B), center (of SOURCE, LFW's rule)."),
    ] = None,
    min_face: options.MinFace = COMPARE.min_face,
    missing: Annotated[
        str, typer.Option(help="Pairs of SOURCE without a score: error counts them as errors, skip leaves them out.")
    ] = RUN.missing,
    allow_missing: Annotated[
        int, typer.Option(min=0, help="Photos of SOURCE that may have no face; exit code 3 for more.")
    ] = RUN.allow_missing,
    dev_pairs: Annotated[
        Path | None, typer.Option(help="LFW's View 1: the list that the threshold is chosen on.")
    ] = RUN.dev_pairs,
    pooling: Annotated[
        str, typer.Option(help="YTF: clips by the mean embedding, or by the mean of the frames' scores.")
    ] = RUN.pooling,
    frames: Annotated[int, typer.Option(min=0, help="YTF: frames of a clip, evenly spread; 0: all.")] = RUN.frames,
    distractors: Annotated[
        Path | None, typer.Option(help="MegaFace: a store, or a folder of .bin features; so is SOURCE.")
    ] = RUN.distractors,
    noises: Annotated[Path | None, typer.Option(help="MegaFace: a list of photos to leave out.")] = RUN.noises,
    features: Annotated[
        Path | None, typer.Option(help="MegaFace: a new folder to write both stores to as .bin features.")
    ] = RUN.features,
    weight_by_detector: Annotated[
        bool, typer.Option("--weight-by-detector", help="IJB: weigh each photo of a template by the detector's score.")
    ] = RUN.weight_by_detector,
    scores: Annotated[
        Path | None, typer.Option(help="A CSV to write each pair's score to; verify reads it again.")
    ] = RUN.scores,
    groups: Annotated[
        str | None, typer.Option(help="A column of the list (also left_/right_...): TAR and FAR by group and across.")
    ] = RUN.groups,
    report: Annotated[
        Path | None, typer.Option(help="Of a protocol: an HTML page with curves, bands and hardest errors.")
    ] = None,
    workers: options.Workers = COMPARE.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Say whether two photos show one person (exit 0) or two (exit 1), or score a model by a protocol.

    The score is the cosine of the embeddings; far is the share of pairs of two people that score as much. By a protocol
    with folds each one's threshold is chosen on the others. Pairs on stdin: a line each, A<TAB>B or
    {"left": A, "right": B}, or all names by NUL. More: cosface verify calibrate --help, cosface verify leakage --help.
    """
    names = [str(path) for path in paths or ()]
    compare = CompareConfig(
        tuple(model or ()),
        fuse,
        flip,
        tuple(store or ()),
        threshold,
        far,
        calibration,
        detector,
        faces or COMPARE.faces,
        min_face,
        workers,
    )
    source = Path(names[0]) if names else (store or [pairs or Path()])[0]
    run = ProtocolConfig(
        source=source,
        protocol=protocol,
        pairs=None if pairs == source else pairs,
        models=tuple(model or ()),
        fuse=fuse,
        flip=flip,
        crops_template=template,
        detector=detector,
        faces=faces or RUN.faces,
        min_face=min_face,
        missing=missing,
        allow_missing=allow_missing,
        workers=workers,
        dev_pairs=dev_pairs,
        pooling=pooling,
        frames=frames,
        distractors=distractors,
        noises=noises,
        features=features,
        weight_by_detector=weight_by_detector,
        scores=scores,
        groups=groups,
    )
    alone = len(names) == 1 and names != ["-"] and not store
    listed = _unjudged(pairs, names, bool(store)) if pairs is not None and protocol is None else None
    if listed is not None or (pairs is None and protocol is None and not alone):
        shared = {"pairs", "models", "fuse", "flip", "detector", "faces", "min_face", "workers"}
        if changed := run.changed() - shared:
            problem = f"{flag_of(min(changed))} goes with a protocol, not with two photos"
            raise CosfaceError(problem, hint="leave it out")
        if report is not None:
            raise CosfaceError("--report goes with a protocol, not with two photos", hint="leave it out")
        return _compared(names, compare, output, quiet) if listed is None else _list(listed, compare, output, quiet)
    if len(names) > 1 or (names and store) or len(store or ()) > 1:
        hint = "give A B for two photos, or one SOURCE and --pairs or --protocol"
        raise CosfaceError(f"{len(names) + len(store or ())} paths are neither two photos nor one source", hint=hint)
    shared = {"stores", "models", "fuse", "flip", "detector", "faces", "min_face", "workers"}
    if changed := compare.changed() - shared:
        problem = f"{flag_of(min(changed))} goes with two photos"
        raise CosfaceError(problem, hint="leave it out: a protocol has its own rules")
    return _protocol(run, report, output, quiet)


def _unjudged(pairs: Path, names: list[str], in_store: bool) -> list[tuple[str, str]] | None:
    """The pairs of a list that are to be compared, None where a protocol is to score them."""
    from cosface_cli.verify.compare.pair_lines import unjudged_pairs

    root = None if in_store else Path(names[0]) if names else pairs.parent
    return unjudged_pairs(pairs, root) if len(names) < 2 else None


def _compared(names: list[str], config: CompareConfig, output: Any, quiet: bool) -> int:
    if names == ["-"]:
        from cosface_cli.verify.compare.pair_lines import split_pairs

        return _list(split_pairs(sys.stdin.buffer.read()), config, output, quiet)
    if not 1 <= len(names) <= 2:
        hint = "give A B, a photo and a folder of many, - for pairs on stdin, or SOURCE with --pairs or --protocol"
        raise CosfaceError(f"{len(names)} paths are neither two photos nor one source", hint=hint)
    from cosface_cli.verify.compare.comparing import are_many, compare_many, compare_two

    left, right = names[0], names[1] if len(names) == 2 else None
    if right is None or (not config.stores and are_many(right)):
        with following("verify", output, quiet, COLUMNS) as emit:
            report = compare_many(left, right, config, emit)
        return EXIT_NO if emit.exit_code == EXIT_DONE and not report.same else emit.exit_code
    if config.workers:
        raise CosfaceError("--workers goes with more than two photos", hint="leave it out")

    def hear(outcome: Outcome) -> None:
        if isinstance(outcome, Note):
            say(outcome.text, quiet)

    matches = compare_two(left, right, config, hear)
    rows = Rows(output, COLUMNS)
    for match in matches:
        rows.write(asdict(match))
    rows.close()
    return EXIT_DONE if any(match.same for match in matches) else EXIT_NO


def _list(pairs: list[tuple[str, str]], config: CompareConfig, output: Any, quiet: bool) -> int:
    from cosface_cli.verify.compare.comparing import compare_list

    with following("verify", output, quiet, COLUMNS) as emit:
        report = compare_list(pairs, config, emit)
    return EXIT_NO if emit.exit_code == EXIT_DONE and not report.same else emit.exit_code


def _protocol(config: ProtocolConfig, page: Path | None, output: Any, quiet: bool) -> int:
    share_cores()
    from cosface_cli.verify.stage import run_protocol

    with following("verify", output, quiet) as emit:
        scored, report = run_protocol(config, emit)
        emit.rows.write(asdict(report) if emit.rows.output == options.Output.json else report.in_short())
        if page is not None:
            from cosface_cli.verify.figures.page import write_report

            write_report(page, scored, report, shlex.join(["cosface", *sys.argv[1:]]))
    if len(report.missing) > config.allow_missing and config.missing == "error":
        shown = ", ".join(report.missing[:3]) + (", ..." if len(report.missing) > 3 else "")
        became = "their pairs count as errors" if report.missing_rule == "error" else "they are left out"
        say(f"cosface: {len(report.missing)} photos gave no score ({shown}); {became}")
        return EXIT_PART
    return EXIT_DONE
