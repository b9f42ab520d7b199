"""cosface train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cosface_cli import shared_options as options
from cosface_cli.backbones import BACKBONES
from cosface_cli.console import Rows, following
from cosface_cli.engines.runtime.devices import PRECISIONS, wait_briefly
from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.outcomes import EXIT_FAILED
from cosface_cli.train import TrainConfig
from cosface_cli.train.step.optimizer import OPTIMIZERS
from cosface_cli.train.step.schedule import SCHEDULES

DEFAULTS = TrainConfig()


def _places(text: str | tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """Milestones as written, 10,16; a list where they come from cosface.toml."""
    words = text.split(",") if isinstance(text, str) else text if isinstance(text, (list, tuple)) else [text]
    try:
        return tuple(int(str(word)) for word in words if word != "")
    except ValueError:
        raise CosfaceError(f"--milestones {text!r} are no epochs", hint="write them as 10,16") from None


def _numbers(pairs: list[str] | None) -> dict[str, float] | None:
    """NAME=VALUE as written, several times."""
    found = {}
    for pair in pairs or ():
        name, is_there, value = pair.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            is_there = ""
        if not is_there or not name.strip():
            raise CosfaceError(f"--loss-option {pair!r} is no NAME=VALUE", hint="write it as m1=1.35")
    return found or None


def _names(text: str | tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Names as written, crop,grey, or none; a list where they come from cosface.toml."""
    words = text.split(",") if isinstance(text, str) else text if isinstance(text, (list, tuple)) else [text]
    return tuple(word for word in (str(word).strip() for word in words) if word not in ("", "none"))


def train(
    aligned: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Crop folder, one sub-folder a person; or files: train.rec, shards-{000..010}.tar.",
            show_default=str(DEFAULTS.aligned),
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(help="What is not said here: a name of --list-recipes, or a TOML [by people and crops]."),
    ] = DEFAULTS.recipe,
    start: Annotated[
        str | None, typer.Option(help="Weights to begin with: default, a run folder or a .safetensors file.")
    ] = DEFAULTS.start,
    loss: Annotated[str | None, typer.Option(help=f"One of {', '.join(LOSSES.names)}.")] = DEFAULTS.loss,
    m: Annotated[float | None, typer.Option("--m", help="Margin; in cosine for cosface.")] = DEFAULTS.m,
    s: Annotated[float | None, typer.Option("--s", help="Scale of the cosines.")] = DEFAULTS.s,
    loss_option: Annotated[
        list[str] | None,
        typer.Option("--loss-option", metavar="NAME=VALUE", help="Another setting of the loss; may be repeated."),
    ] = None,
    backbone: Annotated[str | None, typer.Option(help=f"One of {', '.join(BACKBONES.names)}.")] = DEFAULTS.backbone,
    embedding_size: Annotated[
        int | None,
        typer.Option(help="Dimensions [the backbone's]."),
    ] = DEFAULTS.embedding_size,
    epochs: Annotated[int | None, typer.Option(help="Passes over the crops.")] = DEFAULTS.epochs,
    steps: Annotated[int | None, typer.Option(help="Steps in all, in place of epochs.")] = DEFAULTS.steps,
    batch: Annotated[int | None, typer.Option(help="Crops a step.")] = DEFAULTS.batch,
    accumulate: Annotated[
        int | None, typer.Option(help="Work through a batch in so many slices: less memory, the same step.")
    ] = DEFAULTS.accumulate,
    optimizer: Annotated[str | None, typer.Option(help=f"One of {', '.join(OPTIMIZERS)}.")] = DEFAULTS.optimizer,
    momentum: Annotated[float | None, typer.Option(help="Of sgd.")] = DEFAULTS.momentum,
    nesterov: Annotated[bool | None, typer.Option("--nesterov/--no-nesterov", help="Of sgd.")] = DEFAULTS.nesterov,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate.")] = DEFAULTS.lr,
    head_lr: Annotated[float | None, typer.Option(help="Times that for the class weights.")] = DEFAULTS.head_lr,
    warmup: Annotated[int | None, typer.Option(help="Steps of linear rise.")] = DEFAULTS.warmup,
    schedule: Annotated[str | None, typer.Option(help=f"One of {', '.join(SCHEDULES)}.")] = DEFAULTS.schedule,
    milestones: Annotated[
        Any,
        typer.Option(
            parser=_places,
            metavar="<epochs>",
            show_default=False,
            help="Epochs (with --steps: steps) after which the rate drops to a tenth, such as 10,16.",
        ),
    ] = DEFAULTS.milestones,
    weight_decay: Annotated[float | None, typer.Option(help="On every parameter.")] = DEFAULTS.weight_decay,
    clip: Annotated[float | None, typer.Option(help="Largest length of the gradient; 0: any.")] = DEFAULTS.clip,
    ema: Annotated[
        float | None, typer.Option(help="Decay of an average over the weights, kept in their place; 0: none.")
    ] = DEFAULTS.ema,
    precision: Annotated[
        str | None, typer.Option(help=f"Of the network, one of {', '.join(PRECISIONS)}.")
    ] = DEFAULTS.precision,
    channels_last: Annotated[
        bool | None, typer.Option("--channels-last/--no-channels-last", help="Memory order of pictures.")
    ] = DEFAULTS.channels_last,
    compile: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="By torch.compile: needs a C++ compiler.")
    ] = DEFAULTS.compile,
    sync_bn: Annotated[
        bool | None, typer.Option("--sync-bn/--no-sync-bn", help="Batch norm over the crops of all processes.")
    ] = DEFAULTS.sync_bn,
    sample_rate: Annotated[
        float | None, typer.Option(help="Share of the classes in a step's loss (Partial FC).")
    ] = DEFAULTS.sample_rate,
    freeze: Annotated[
        float | None, typer.Option(help="Share of the layers, from the input on, that stay as in the start.")
    ] = DEFAULTS.freeze,
    hold_out: Annotated[
        float | None, typer.Option(help="Share of the people that is scored after each epoch, not trained on.")
    ] = DEFAULTS.hold_out,
    blend: Annotated[
        bool | None, typer.Option("--blend/--no-blend", help="Score mixtures of start and trained weights too.")
    ] = DEFAULTS.blend,
    min_images: Annotated[int | None, typer.Option(help="Leave out people with fewer crops.")] = DEFAULTS.min_images,
    sampler: Annotated[
        str | None, typer.Option(help="shuffled, or balanced: as many crops of each person in a batch.")
    ] = DEFAULTS.sampler,
    images_per_identity: Annotated[
        int | None, typer.Option(help="Crops of each person in a balanced batch [4].")
    ] = DEFAULTS.images_per_identity,
    flip: Annotated[
        bool | None, typer.Option("--flip/--no-flip", help="Mirror every other crop, as the paper does.")
    ] = DEFAULTS.flip,
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run to another length.")] = DEFAULTS.resume,
    validate: Annotated[
        Path | None, typer.Option(help="Pairs file, scored before training and after each epoch.")
    ] = DEFAULTS.validate,
    validate_root: Annotated[
        Path | None, typer.Option(help="Crops or photos that the pairs name.")
    ] = DEFAULTS.validate_root,
    keep: Annotated[
        str | None, typer.Option(help="Whose weights are kept, best or last epoch's [best, where they are scored].")
    ] = DEFAULTS.keep,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better score; 0: never.")
    ] = DEFAULTS.patience,
    seed: Annotated[int, typer.Option(help="Of first weights, order and augmentation.")] = DEFAULTS.seed,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = DEFAULTS.device,
    threads: Annotated[int | None, typer.Option(help="CPU threads [all cores].")] = DEFAULTS.threads,
    processes: Annotated[
        int | None,
        typer.Option("--processes", "--gpus", help="Processes that share each batch, one a GPU, or on the CPU [1]."),
    ] = DEFAULTS.processes,
    loaders: Annotated[
        int | None,
        typer.Option(help="Processes that read crops [0: a thread beside the CPU; up to 8 beside a GPU]."),
    ] = DEFAULTS.loaders,
    save_seconds: Annotated[
        float, typer.Option("--save-every", help="Seconds between two saved states within an epoch.")
    ] = DEFAULTS.save_seconds,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="End with report.html and the audit of labels.")
    ] = DEFAULTS.report,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what can be known before the first step, and stop.")
    ] = False,
    list_recipes: Annotated[bool, typer.Option("--list-recipes", help="Print the recipes, and stop.")] = False,
    list_losses: Annotated[bool, typer.Option("--list-losses", help="Print the losses, and stop.")] = False,
    output: options.Format = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a network on aligned crops; the same command again goes on where it was stopped."""
    config = TrainConfig(
        aligned=DEFAULTS.aligned if not aligned else aligned[0] if len(aligned) == 1 else tuple(aligned),
        template=template,
        out=out,
        recipe=recipe,
        start=start,
        loss=loss,
        s=s,
        m=m,
        loss_options=_numbers(loss_option),
        backbone=backbone,
        embedding_size=embedding_size,
        freeze=freeze,
        hold_out=hold_out,
        blend=blend,
        sample_rate=sample_rate,
        epochs=epochs,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        optimizer=optimizer,
        momentum=momentum,
        nesterov=nesterov,
        lr=lr,
        head_lr=head_lr,
        warmup=warmup,
        schedule=schedule,
        milestones=milestones,
        weight_decay=weight_decay,
        clip=clip,
        ema=ema,
        precision=precision,
        channels_last=channels_last,
        compile=compile,
        sync_bn=sync_bn,
        min_images=min_images,
        patience=patience,
        keep=keep,
        sampler=sampler,
        images_per_identity=images_per_identity,
        flip=flip,
        augment=augment,
        processes=processes,
        loaders=loaders,
        seed=seed,
        device=device,
        threads=threads,
        save_seconds=save_seconds,
        resume=resume,
        validate=validate,
        validate_root=validate_root,
        report=report,
    )
    if list_recipes or list_losses:
        _print(_recipes() if list_recipes else _losses(), output)
        return
    wait_briefly()
    from cosface_cli.train import stage
    from cosface_cli.train.distributed.launch import StoppedElsewhere, is_first

    try:
        with following("train", output, quiet or not is_first()) as emit:
            if dry_run:
                stage.preflight(config, emit)
            else:
                stage.train(config, emit)
    except StoppedElsewhere:  # which says why
        raise typer.Exit(EXIT_FAILED) from None


def _recipes() -> list[dict[str, Any]]:
    from cosface_cli.train.setup.recipes import listed

    return [{"recipe": found.name, "for": found.summary, **found.values} for found in listed()]


def _losses() -> list[dict[str, Any]]:
    from cosface_cli.losses.listing import describe_losses

    return [
        {"loss": found.name, "equation": found.equation, "settings": found.settings, "source": found.source}
        for found in describe_losses()
    ]


def _print(rows: list[dict[str, Any]], output: Any) -> None:
    written = Rows(output)
    for row in rows:
        written.write(row)
    written.close()
