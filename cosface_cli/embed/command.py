"""cosface embed: crops or photos -> an HDF5 store of embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import options
from cosface_cli.console import following
from cosface_cli.embed import EmbedConfig
from cosface_cli.outcomes import Outcome, Rejected

DEFAULTS = EmbedConfig(source="", store=Path())
COLUMNS = ("source", "status", "reason", "identity", "face")


def embed(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Crop folder, or photos: whatever align takes.")],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The .h5 file, made or continued.")],
    model: options.Model = DEFAULTS.model,
    flip: options.FlipMode = DEFAULTS.flip,
    template: Annotated[
        str | None, typer.Option(help="SOURCE holds crops of this template, without a manifest.")
    ] = DEFAULTS.crops_template,
    detector: options.DetectorName = DEFAULTS.detector,
    faces: options.Faces = DEFAULTS.faces,
    min_face: options.MinFace = DEFAULTS.min_face,
    min_score: options.MinScore = DEFAULTS.min_score,
    max_megapixels: options.MaxMegapixels = DEFAULTS.max_megapixels,
    min_sharpness: options.MinSharpness = DEFAULTS.min_sharpness,
    max_yaw: options.MaxYaw = DEFAULTS.max_yaw,
    try_rotations: options.TryRotations = DEFAULTS.try_rotations,
    every: options.Every = DEFAULTS.every,
    root: options.Root = DEFAULTS.root,
    workers: options.Workers = DEFAULTS.workers,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Turn faces into unit vectors and keep them in a store.

    A folder with a manifest holds crops; any other folder holds photos, which are aligned on the way (the detector's
    options are for them). The same command again does only what is new or changed.
    """
    from cosface_cli.embed.stage import embed as run

    config = EmbedConfig(
        source=source,
        store=store,
        model=model,
        flip=flip,
        crops_template=template,
        detector=detector,
        faces=faces,
        min_face=min_face,
        min_score=min_score,
        max_megapixels=max_megapixels,
        min_sharpness=min_sharpness,
        max_yaw=max_yaw,
        try_rotations=try_rotations,
        every=every,
        root=root,
        workers=workers,
    )
    with following("embed", output, quiet, COLUMNS, _reject_row) as tell:
        run(config, tell)
    return tell.exit_code


def _reject_row(outcome: Outcome) -> Mapping[str, Any] | None:
    if not isinstance(outcome, Rejected):
        return None
    return {"source": outcome.source, "status": "rejected", "reason": outcome.reason, "identity": None, "face": None}
