"""cosface verify calibrate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cosface_cli import shared_options as options
from cosface_cli.console import following, say
from cosface_cli.verify import share_cores
from cosface_cli.verify.calibration import CalibrateConfig

CALIBRATE = CalibrateConfig(source=Path())
COLUMNS = ("far", "threshold", "far_low", "far_high", "tar", "low", "high", "impostors_needed")


def calibrate(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="PEOPLE", help="A store, crops or photos of people new to the model, a folder for each."
        ),
    ],
    model: Annotated[
        list[str] | None, typer.Option("--model", metavar="<str>", help="As for cosface verify; several are fused.")
    ] = None,
    fuse: Annotated[
        str, typer.Option(help="Several models: mean of their cosines, or concat of their embeddings.")
    ] = CALIBRATE.fuse,
    flip: options.FlipMode = CALIBRATE.flip,
    out: Annotated[
        Path | None, typer.Option(help="A file for the table; else the weights' header, or beside an .onnx file.")
    ] = CALIBRATE.out,
    leave_out: Annotated[
        list[str] | None, typer.Option(metavar="<str>", help="A person of PEOPLE who does not count; again for more.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="PEOPLE holds crops of this template, without a manifest.")
    ] = CALIBRATE.crops_template,
    detector: options.DetectorName = CALIBRATE.detector,
    faces: options.Faces = CALIBRATE.faces,
    min_face: options.MinFace = CALIBRATE.min_face,
    workers: options.Workers = CALIBRATE.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Find out what a model's scores mean: thresholds for false accept rates of 1e-2 to 1e-6, over all pairs of PEOPLE.

    Intervals are 95 %, and take into account that the pairs are of the same people again and again. Take people who are
    neither in the model's training nor in a test set; photos such as those that the model will see.
    """
    share_cores()
    from cosface_cli.verify.calibration.stage import calibrate as run

    config = CalibrateConfig(
        source,
        models=tuple(model or ()),
        fuse=fuse,
        flip=flip,
        out=out,
        leave_out=tuple(leave_out or ()),
        crops_template=template,
        detector=detector,
        faces=faces,
        min_face=min_face,
        workers=workers,
    )
    with following("calibrate", output, quiet, COLUMNS) as emit:
        report = run(config, emit)
        for rate in report.rates:
            emit.rows.write({**rate, "model": report.model, "model_id": report.model_id, "flip": report.flip})
    say(f"{report.impostors} impostor pairs of {report.people} people; the table is in {report.written}", quiet)
    return emit.exit_code
