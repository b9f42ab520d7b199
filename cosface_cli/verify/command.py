"""cosface verify: two photos -> a decision; a protocol of the field -> its numbers."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cosface_cli import options
from cosface_cli.console import Rows, following, say
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import EXIT_DONE, EXIT_NO, EXIT_PART, Note, Outcome
from cosface_cli.verify import ProtocolConfig, TwoConfig
from cosface_cli.verify.protocols import PROTOCOLS

TWO = TwoConfig(left=Path(), right=Path())
RUN = ProtocolConfig(source=Path())


def verify(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="A B | SOURCE", help="Two photos; or what a protocol scores: photos, a store."),
    ],
    protocol: Annotated[
        str | None, typer.Option(help=f"Of SOURCE: {', '.join(PROTOCOLS.names)}; else guessed from its files.")
    ] = RUN.protocol,
    pairs: Annotated[Path | None, typer.Option(help="The protocol's list, such as LFW's pairs.txt.")] = RUN.pairs,
    model: options.Model = TWO.model,
    flip: options.FlipMode = TWO.flip,
    threshold: Annotated[
        float | None, typer.Option(min=-1, max=1, help="Cosine from which A and B are one person, else the model's.")
    ] = TWO.threshold,
    template: Annotated[
        str | None, typer.Option(help="SOURCE holds crops of this template, without a manifest.")
    ] = RUN.crops_template,
    detector: options.DetectorName = TWO.detector,
    faces: Annotated[
        str | None, typer.Option(help="Which face of a photo: largest (of A and B) or center (of SOURCE, LFW's rule).")
    ] = None,
    min_face: options.MinFace = TWO.min_face,
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
    workers: options.Workers = RUN.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Say whether two photos show one person (exit 0) or two (exit 1), or score a model by a protocol.

    The score is the cosine of the embeddings. With folds each one's threshold is chosen on the others.
    """
    run = ProtocolConfig(
        source=paths[0],
        protocol=protocol,
        pairs=pairs,
        model=model,
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
    )
    if len(paths) == 2 and pairs is None and protocol is None:
        if changed := run.changed() - {"model", "flip", "detector", "faces", "min_face"}:
            flag = "--" + min(changed).replace("crops_", "").replace("_", "-")
            raise CosfaceError(f"{flag} goes with a protocol, not with two photos", mend="leave it out")
        two = TwoConfig(paths[0], paths[1], model, flip, threshold, detector, faces or TWO.faces, min_face)
        return _two(two, output, quiet)
    if len(paths) != 1:
        mend = "give A B for two photos, or one SOURCE and --pairs or --protocol"
        raise CosfaceError(f"{len(paths)} paths are neither two photos nor one source", mend=mend)
    if threshold is not None:
        raise CosfaceError("--threshold goes with two photos", mend="leave it out: a protocol chooses its own")
    return _protocol(run, output, quiet)


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


def _protocol(config: ProtocolConfig, output: options.Output | None, quiet: bool) -> int:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's own threads: here the cores are shared out by ours
    from cosface_cli.verify.protocol import verify_protocol

    with following("verify", output, quiet) as tell:
        report = verify_protocol(config, tell)
        tell.rows.write(asdict(report) if tell.rows.output is options.Output.json else report.in_short())
    if len(report.missing) > config.allow_missing and config.missing == "error":
        shown = ", ".join(report.missing[:3]) + (", ..." if len(report.missing) > 3 else "")
        became = "their pairs count as errors" if report.missing_rule == "error" else "they are left out"
        say(f"cosface: {len(report.missing)} photos gave no score ({shown}); {became}")
        return EXIT_PART
    return EXIT_DONE
