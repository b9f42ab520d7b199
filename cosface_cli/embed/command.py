"""cosface embed: crops or photos -> an HDF5 store of embeddings; cosface embed info, merge, split: of stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import shared_options as options
from cosface_cli.console import Rows, following, say
from cosface_cli.embed import EmbedConfig, MergeConfig, SplitConfig
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import EXIT_DONE, Outcome, Rejected

DEFAULTS = EmbedConfig(source="", store=Path())
MODELS = [str(DEFAULTS.model)]
COLUMNS = ("source", "status", "reason", "identity", "face", "model")


def embed(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="Crop folder, or photos: whatever align takes.")],
    store: Annotated[
        Path, typer.Argument(metavar="STORE", help="The .h5 file, made or continued; of several models a folder.")
    ],
    model: options.Models = MODELS,
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
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes, beside GPUs threads that read; 0: one for each core.")
    ] = DEFAULTS.workers,
    engine: options.Engine = DEFAULTS.engine,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="<auto|cpu|cuda[:i[,j]]|mps>",
            help="What computes the networks; auto: GPUs if there are some; cuda: all of them; cuda:0,1: these.",
        ),
    ] = DEFAULTS.device,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, fp16 or bf16 of the networks' sums; for GPUs.")
    ] = DEFAULTS.precision,
    prune: options.Prune = DEFAULTS.prune,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Turn faces into unit vectors and keep them in a store.

    A folder with a manifest holds crops; any other folder holds photos, which are aligned on the way (the detector's
    options are for them). Stopped at any moment, the same command again goes on from there; later it does only what is
    new or changed.

    With several --model, each photo is read once, and STORE is a folder: STORE/dlib.h5, STORE/NAME.h5. Each of them is
    the store that the model alone would have made.

    Of stores that are there: cosface embed info STORE, cosface embed merge STORE... OUT, cosface embed split STORE
    FOLDER; each has its own --help.
    """
    from cosface_cli.embed.stage import embed as run

    config = EmbedConfig(
        source=source,
        store=store,
        model=model[0] if len(model) == 1 else tuple(model),
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
        engine=engine,
        device=device,
        precision=precision,
        prune=prune,
    )
    with following("embed", output, quiet, COLUMNS, _reject_row) as emit:
        run(config, emit)
    return emit.exit_code


def info(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store of cosface embed.")],
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Say what a store holds: rows, model, identities, rejects."""
    from cosface_cli.embed.info import info as run

    report = run(store)
    _write([asdict(report)], output)
    rejected = ", ".join(f"{reason} {count}" for reason, count in report.rejects.items())
    say(
        f"{report.rows} embeddings of {report.size} numbers by {report.model}, from {report.sources} files of "
        f"{report.identities} identities; rejected: {rejected or 'none'}",
        quiet,
    )
    if report.unfinished:
        say("a run that fills this store has not ended: the same cosface embed again goes on from there", quiet)
    return EXIT_DONE


def merge(
    paths: Annotated[list[Path], typer.Argument(metavar="STORE... OUT", help="Stores of one model, then the new one.")],
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Join stores into one, each source once.

    Where a source differs between stores, the store given last counts. OUT may be one of the stores.
    """
    from cosface_cli.embed.merge import merge as run

    if len(paths) < 2:
        raise CosfaceError("stores and the new one are needed", hint="cosface embed merge a.h5 b.h5 all.h5")
    with following("merge", options.Output.table, quiet) as emit:
        report = run(MergeConfig(tuple(paths[:-1]), paths[-1]), emit)
    _write([asdict(report)], output)
    return EXIT_DONE


def split(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store of cosface embed.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new folder for the parts.")],
    by: Annotated[str, typer.Option("--by", help="identity, or the number of parts of consecutive rows.")],
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> int:
    """Cut a store into several, by identity or into a number of parts.

    Files of one photo stay together, rejects go along; merged in their order, parts are the same store again.
    """
    from cosface_cli.embed.split import split as run

    with following("split", options.Output.table, quiet) as emit:
        parts = run(SplitConfig(store, folder, by), emit)
    _write([asdict(part) for part in parts], output)
    return EXIT_DONE


def _write(found: list[dict[str, Any]], output: Any) -> None:
    rows = Rows(output)
    for row in found:
        rows.write(row)
    rows.close()


def _reject_row(outcome: Outcome) -> Mapping[str, Any] | None:
    if not isinstance(outcome, Rejected):
        return None
    empty = dict.fromkeys(("identity", "face", "model"))
    return {"source": outcome.source, "status": "rejected", "reason": outcome.reason, **empty}
