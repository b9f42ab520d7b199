"""cosface align: photos -> aligned crops and a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import shared_options as options
from cosface_cli.align import AlignConfig
from cosface_cli.console import following
from cosface_cli.outcomes import Outcome, Rejected

DEFAULTS = AlignConfig(raw="", aligned=Path())
COLUMNS = ("source", "crop", "status", "reason", "score")


def align(
    raw: Annotated[
        str,
        typer.Argument(
            metavar="RAW", help="Folder, zip, tar, train.rec, video, photo, quoted pattern, or - for paths on stdin."
        ),
    ],
    aligned: Annotated[Path, typer.Argument(metavar="ALIGNED", help="Crop folder, made or continued.")],
    detector: options.DetectorName = DEFAULTS.detector,
    template: Annotated[
        str, typer.Option(help="Where the landmarks will be: wide (fits every network), arcface, sphereface, dlib.")
    ] = DEFAULTS.template,
    faces: options.Faces = DEFAULTS.faces,
    min_face: options.MinFace = DEFAULTS.min_face,
    min_score: options.MinScore = DEFAULTS.min_score,
    max_megapixels: options.MaxMegapixels = DEFAULTS.max_megapixels,
    min_sharpness: options.MinSharpness = DEFAULTS.min_sharpness,
    max_yaw: options.MaxYaw = DEFAULTS.max_yaw,
    try_rotations: options.TryRotations = DEFAULTS.try_rotations,
    crops: Annotated[str, typer.Option(help="File format of the crops: jpeg or png.")] = DEFAULTS.crops,
    every: options.Every = DEFAULTS.every,
    root: options.Root = DEFAULTS.root,
    workers: options.Workers = DEFAULTS.workers,
    engine: options.Engine = DEFAULTS.engine,
    redo: Annotated[bool, typer.Option("--redo", help="Make again crops of other settings.")] = DEFAULTS.redo,
    prune: options.Prune = DEFAULTS.prune,
    report: Annotated[
        bool, typer.Option("--report", help="Also write ALIGNED/report.html: crops, rejects and reasons at a glance.")
    ] = DEFAULTS.report,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Find the faces of photos and cut them out aligned.

    Sub-folders are kept: the first level is the identity. Rejected photos are named, with the reason, in
    ALIGNED/rejects.jsonl. Stopped at any moment, the same command again goes on from there; later it does only what is
    new or changed.
    """
    from cosface_cli.align.stage import align as run

    config = AlignConfig(
        raw=raw,
        aligned=aligned,
        detector=detector,
        template=template,
        faces=faces,
        min_face=min_face,
        min_score=min_score,
        max_megapixels=max_megapixels,
        min_sharpness=min_sharpness,
        max_yaw=max_yaw,
        try_rotations=try_rotations,
        crops=crops,
        every=every,
        root=root,
        workers=workers,
        engine=engine,
        redo=redo,
        prune=prune,
        report=report,
    )
    with following("align", output, quiet, COLUMNS, _reject_row) as emit:
        run(config, emit)
    return emit.exit_code


def _reject_row(outcome: Outcome) -> Mapping[str, Any] | None:
    if not isinstance(outcome, Rejected):
        return None
    empty = dict.fromkeys(("face", "faces", "found", "box", "landmarks", "score", "quality", "rotation"))
    return {"source": outcome.source, "crop": None, "status": "rejected", "reason": outcome.reason, **empty}
