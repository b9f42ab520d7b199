"""cosface train."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import options
from cosface_cli.backbones import BACKBONES
from cosface_cli.console import following
from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.train import TrainConfig

DEFAULTS = TrainConfig()


def _epochs(text: str | tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """Milestones as written, 10,16; a list where they come from cosface.toml."""
    words = text.split(",") if isinstance(text, str) else text if isinstance(text, (list, tuple)) else [text]
    try:
        return tuple(int(word) for word in words if word != "")
    except ValueError:
        raise CosfaceError(f"--milestones {text!r} are no epochs", mend="write them as 10,16") from None


def _names(text: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Names as written, crop,grey, or none; a list where they come from cosface.toml."""
    words = text.split(",") if isinstance(text, str) else [str(word) for word in text]
    return tuple(word.strip() for word in words if word.strip() not in ("", "none"))


def train(
    aligned: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Crop folder, one sub-folder a person; or files: train.rec, shards-{000..010}.tar.",
            show_default=str(DEFAULTS.aligned),
        ),
    ] = None,
    loss: Annotated[str, typer.Option(help=f"One of {', '.join(LOSSES.names)}.")] = DEFAULTS.loss,
    m: Annotated[float | None, typer.Option("--m", help="Margin in cosine [cosface: 0.35].")] = DEFAULTS.m,
    s: Annotated[float | None, typer.Option("--s", help="Scale of the cosines [cosface, nsl: 64].")] = DEFAULTS.s,
    backbone: Annotated[str, typer.Option(help=f"One of {', '.join(BACKBONES.names)}.")] = DEFAULTS.backbone,
    embedding_size: Annotated[
        int | None, typer.Option(help="Dimensions [mobilefacenet: 256, sphere20: 512].")
    ] = DEFAULTS.embedding_size,
    epochs: Annotated[int, typer.Option(help="Passes over the crops.")] = DEFAULTS.epochs,
    batch: Annotated[int, typer.Option(help="Crops a step.")] = DEFAULTS.batch,
    lr: Annotated[float, typer.Option(help="Highest learning rate.")] = DEFAULTS.lr,
    warmup: Annotated[
        int | None, typer.Option(help="Steps of linear rise [the first epoch's, at most 200].")
    ] = DEFAULTS.warmup,
    schedule: Annotated[
        str | None, typer.Option(help="cosine or step [cosine, step with --milestones].")
    ] = DEFAULTS.schedule,
    milestones: Annotated[
        Any,
        typer.Option(
            parser=_epochs,
            metavar="<epochs>",
            show_default=False,
            help="Epochs after which the rate drops to a tenth, such as 10,16.",
        ),
    ] = DEFAULTS.milestones,
    weight_decay: Annotated[float, typer.Option(help="On every parameter.")] = DEFAULTS.weight_decay,
    clip: Annotated[float, typer.Option(help="Largest length of the gradient.")] = DEFAULTS.clip,
    min_images: Annotated[int, typer.Option(help="Leave out people with fewer crops.")] = DEFAULTS.min_images,
    sampler: Annotated[
        str, typer.Option(help="shuffled, or balanced: as many crops of each person in a batch.")
    ] = DEFAULTS.sampler,
    images_per_identity: Annotated[
        int | None, typer.Option(help="Crops of each person in a balanced batch [4].")
    ] = DEFAULTS.images_per_identity,
    flip: Annotated[bool, typer.Option(help="Mirror every other crop, as the paper does.")] = DEFAULTS.flip,
    augment: Annotated[
        Any,
        typer.Option(
            parser=_names,
            metavar="<names>",
            show_default=False,
            help="Further changes: crop,colour,grey,blur,lowres,jpeg, some or all.",
        ),
    ] = DEFAULTS.augment,
    template: Annotated[
        str | None, typer.Option(help="Template of the crops, where they have no manifest.")
    ] = DEFAULTS.template,
    out: Annotated[Path | None, typer.Option(help="Run folder [named after the settings, in runs/].")] = DEFAULTS.out,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run to more epochs.")] = DEFAULTS.resume,
    validate: Annotated[
        Path | None, typer.Option(help="Pairs file, scored before training and after each epoch.")
    ] = DEFAULTS.validate,
    validate_root: Annotated[
        Path | None, typer.Option(help="Crops or photos that the pairs name.")
    ] = DEFAULTS.validate_root,
    seed: Annotated[int, typer.Option(help="Of first weights, order and augmentation.")] = DEFAULTS.seed,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = DEFAULTS.device,
    threads: Annotated[int | None, typer.Option(help="CPU threads [all cores].")] = DEFAULTS.threads,
    loaders: Annotated[
        int | None,
        typer.Option(help="Processes that read crops [0: a thread beside the CPU; up to 8 beside a GPU]."),
    ] = DEFAULTS.loaders,
    save_seconds: Annotated[
        float, typer.Option("--save-every", help="Seconds between two saved states within an epoch.")
    ] = DEFAULTS.save_seconds,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a network on aligned crops; the same command again goes on where it was stopped."""
    config = TrainConfig(
        aligned=DEFAULTS.aligned if not aligned else aligned[0] if len(aligned) == 1 else tuple(aligned),
        template=template,
        out=out,
        loss=loss,
        s=s,
        m=m,
        backbone=backbone,
        embedding_size=embedding_size,
        epochs=epochs,
        batch=batch,
        lr=lr,
        warmup=warmup,
        schedule=schedule,
        milestones=milestones,
        weight_decay=weight_decay,
        clip=clip,
        min_images=min_images,
        sampler=sampler,
        images_per_identity=images_per_identity,
        flip=flip,
        augment=augment,
        loaders=loaders,
        seed=seed,
        device=device,
        threads=threads,
        save_seconds=save_seconds,
        resume=resume,
        validate=validate,
        validate_root=validate_root,
    )
    # before torch is loaded: threads that wait by spinning made training four times slower beside other work
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from cosface_cli.train.stage import train as run

    with following("train", output, quiet) as tell:
        run(config, tell)
