"""train: a crop folder in, a run folder out.

The run folder has weights.safetensors (the weights for embedding: of the best epoch if epochs are scored, else of the
last one), last.safetensors (of the last epoch, if epochs are scored), head.safetensors (the class weights), state/ (to
resume from), metrics.jsonl (one line per epoch) and the same for TensorBoard, run.json (the settings and the data),
model.onnx, report.html (a page about the run) and noise.jsonl (crops whose labels look wrong).

If a run is interrupted, run the same command again: it resumes, and ends with the same files as an uninterrupted run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cosface_cli.backbones import BACKBONES
from cosface_cli.engines.photos.photo_options import TemplateName
from cosface_cli.engines.runtime.devices import Precision
from cosface_cli.losses import LOSSES
from cosface_cli.options import Checked, Option, argument, default_text, option
from cosface_cli.train.crops import AUGMENTATIONS, SAMPLERS
from cosface_cli.train.step import OPTIMIZERS, SCHEDULES

Keep = Literal["best", "last"]
Device = Literal["auto", "cpu", "cuda", "mps"]

DATA, NETWORK, LOSS, SCHEDULE = "Data", "Network", "Loss", "Optimizer and schedule"
SCORING, OUTPUT, MACHINE = "Scoring", "Output", "Machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting(Option):
    """An option that a recipe may set too. The command line takes precedence over the recipe."""

    fallback: object = None
    """Its value if neither the command line nor the recipe sets it; None if it depends on other settings."""


def setting(help: str, *flags: str, fallback: object = None, **fields: Any) -> Setting:
    """An option that a recipe may set. fields: the other fields of Setting."""
    otherwise = "" if fallback is None else f", else {default_text(fallback)}"
    return Setting(help=help, flags=flags, fallback=fallback, **{"unset": f"from the recipe{otherwise}", **fields})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig(Checked):
    """What to train, on which crops. None: the recipe's value."""

    aligned: Annotated[
        Path | tuple[Path, ...],
        argument("ALIGNED", "Crop folder with one sub-folder per person, or files: train.rec, shards-{000..010}.tar."),
    ] = Path("aligned")
    template: Annotated[
        TemplateName | None,
        option("Template of the crops: {choices}.", group=DATA, unset="from the crop folder's manifest"),
    ] = None
    recipe: Annotated[
        str | None,
        option(
            "Settings that belong together: a name from --list-recipes, or a TOML file. Other options override it.",
            unset="by the number of people and crops",
        ),
    ] = None
    min_images: Annotated[
        int | None, setting("Leave out people with fewer crops.", at_least=1, fallback=1, group=DATA)
    ] = None
    sampler: Annotated[
        str | None,
        setting(
            "Which crops make up a batch: {choices}. balanced has the same number of crops of each person in a batch.",
            choices=SAMPLERS,
            fallback="shuffled",
            group=DATA,
        ),
    ] = None
    images_per_identity: Annotated[
        int | None, setting("Crops of each person in a balanced batch.", at_least=1, unset="4", group=DATA)
    ] = None
    flip: Annotated[
        bool | None, setting("Mirror half of the crops, at random, as the paper does.", fallback=True, group=DATA)
    ] = None
    augment: Annotated[
        tuple[str, ...] | None,
        setting(
            "Further augmentation, a comma-separated list of {choices}; or none.",
            known=AUGMENTATIONS,
            separator=",",
            metavar="<names>",
            example="crop,grey",
            fallback=(),
            group=DATA,
        ),
    ] = None

    backbone: Annotated[
        str | None, setting("Network: {choices}.", choices=BACKBONES, fallback="mobilefacenet", group=NETWORK)
    ] = None
    embedding_size: Annotated[
        int | None, setting("Dimensions of an embedding.", at_least=2, unset="from the backbone", group=NETWORK)
    ] = None
    start: Annotated[
        str | None,
        setting(
            "Weights to begin with: default (the built-in network), a run folder or a .safetensors file.",
            unset="from the recipe, else random weights",
            group=NETWORK,
        ),
    ] = None
    freeze: Annotated[
        float | None,
        setting(
            "Share of the layers, from the input on, that are not trained. Needs --start.",
            at_least=0,
            below=1,
            fallback=0.0,
            group=NETWORK,
        ),
    ] = None
    sync_bn: Annotated[
        bool | None,
        setting(
            "Batch norm over the crops of all processes rather than of each process.", fallback=True, group=NETWORK
        ),
    ] = None

    loss: Annotated[
        str | None, setting("Loss: {choices}; see --list-losses.", choices=LOSSES, fallback="cosface", group=LOSS)
    ] = None
    m: Annotated[
        float | None,
        setting("Margin: of the cosine for cosface.", at_least=0, unset="from the recipe, else the loss's", group=LOSS),
    ] = None
    s: Annotated[
        float | None,
        setting("Scale of the cosines.", above=0, unset="from the recipe, else the loss's", group=LOSS),
    ] = None
    loss_options: Annotated[
        Mapping[str, float] | None,
        setting(
            "Another option of the loss. Repeat it for several.",
            "--loss-option",
            unset="from the recipe, else the loss's",
            group=LOSS,
        ),
    ] = None
    sample_rate: Annotated[
        float | None,
        setting(
            "Share of the classes in the loss of a step; they always include the classes of its crops (Partial FC).",
            above=0,
            at_most=1,
            fallback=1.0,
            group=LOSS,
        ),
    ] = None

    epochs: Annotated[int | None, setting("Passes over the crops.", at_least=1, fallback=16, group=SCHEDULE)] = None
    steps: Annotated[
        int | None, setting("Length of the run in steps, instead of --epochs.", at_least=1, group=SCHEDULE)
    ] = None
    batch: Annotated[int | None, setting("Crops per step.", at_least=2, fallback=64, group=SCHEDULE)] = None
    accumulate: Annotated[
        int | None,
        setting(
            "Compute a batch in this many slices: less memory, the same step.", at_least=1, fallback=1, group=SCHEDULE
        ),
    ] = None
    optimizer: Annotated[
        str | None, setting("Optimizer: {choices}.", choices=OPTIMIZERS, fallback="sgd", group=SCHEDULE)
    ] = None
    momentum: Annotated[
        float | None,
        setting("Momentum of sgd.", at_least=0, below=1, unset="from the recipe, else the optimizer's", group=SCHEDULE),
    ] = None
    nesterov: Annotated[
        bool | None,
        setting(
            "Nesterov's form of the momentum.",
            unset="from the recipe, else yes where there is momentum",
            group=SCHEDULE,
        ),
    ] = None
    lr: Annotated[
        float | None,
        setting("Highest learning rate.", above=0, unset="from the recipe, else the optimizer's", group=SCHEDULE),
    ] = None
    head_lr: Annotated[
        float | None,
        setting("Learning rate of the class weights, as a multiple of --lr.", above=0, fallback=1.0, group=SCHEDULE),
    ] = None
    warmup: Annotated[
        int | None,
        setting(
            "Steps in which the learning rate rises to --lr.",
            at_least=0,
            unset="from the recipe, else the first epoch, 200 steps at most",
            group=SCHEDULE,
        ),
    ] = None
    schedule: Annotated[
        str | None,
        setting("How the learning rate falls: {choices}.", choices=SCHEDULES, fallback="cosine", group=SCHEDULE),
    ] = None
    milestones: Annotated[
        tuple[int, ...] | None,
        setting(
            "Epochs (with --steps: steps) after which the learning rate is divided by ten, such as 10,16.",
            at_least=1,
            separator=",",
            metavar="<epochs>",
            example="10,16",
            group=SCHEDULE,
        ),
    ] = None
    weight_decay: Annotated[
        float | None,
        setting(
            "Weight decay of every parameter.",
            at_least=0,
            unset="from the recipe, else the optimizer's",
            group=SCHEDULE,
        ),
    ] = None
    clip: Annotated[
        float | None, setting("Largest norm of the gradient; 0: no limit.", at_least=0, fallback=0.0, group=SCHEDULE)
    ] = None
    ema: Annotated[
        float | None,
        setting(
            "Decay of an exponential moving average of the weights, which is used in their place; 0: none.",
            at_least=0,
            below=1,
            fallback=0.0,
            group=SCHEDULE,
        ),
    ] = None

    hold_out: Annotated[
        float | None,
        setting(
            "Share of the people who are not trained on, but on whom each epoch is scored.",
            at_least=0,
            below=1,
            fallback=0.0,
            group=SCORING,
        ),
    ] = None
    blend: Annotated[
        bool | None,
        setting(
            "Also score mixtures of the start and the trained weights. Needs --start and --hold-out.",
            fallback=False,
            group=SCORING,
        ),
    ] = None
    validate: Annotated[
        Path | None, option("List of pairs to score before training and after each epoch.", group=SCORING)
    ] = None
    validate_root: Annotated[
        Path | None, option("Folder of the crops or photos that the pairs name.", group=SCORING)
    ] = None
    keep: Annotated[
        Keep | None,
        setting("Which epoch's weights are kept: {choices}.", unset="best where epochs are scored", group=SCORING),
    ] = None
    patience: Annotated[
        int | None,
        setting("Stop after this many epochs without a better score; 0: never.", at_least=0, fallback=0, group=SCORING),
    ] = None

    out: Annotated[Path | None, option("Run folder.", unset="named after the settings, in runs/", group=OUTPUT)] = None
    resume: Annotated[bool, option("Continue a run to another length.", group=OUTPUT)] = False
    save_seconds: Annotated[
        float,
        option("Seconds between two saved states within an epoch.", "--save-every", at_least=0, group=OUTPUT),
    ] = 60.0
    report: Annotated[
        bool, option("Write report.html and the audit of labels (noise.jsonl) at the end.", group=OUTPUT)
    ] = True

    seed: Annotated[
        int,
        option("Seed of the first weights, the order of the crops and the augmentation.", at_least=0, below=2**63),
    ] = 0
    device: Annotated[Device, option("Device that trains: {choices}.", group=MACHINE)] = "auto"
    precision: Annotated[
        Precision | None, setting("Number format of the network: {choices}.", fallback="fp32", group=MACHINE)
    ] = None
    channels_last: Annotated[
        bool | None, setting("Use the channels-last memory format.", fallback=True, group=MACHINE)
    ] = None
    compile: Annotated[
        bool | None, setting("Use torch.compile, which needs a C++ compiler.", fallback=False, group=MACHINE)
    ] = None
    processes: Annotated[
        int | None,
        option(
            "Processes that share each batch: one for each GPU, or on the CPU.",
            "--processes",
            "--gpus",
            at_least=1,
            unset="1, or as many as torchrun started",
            group=MACHINE,
        ),
    ] = None
    threads: Annotated[
        int | None,
        option(
            "CPU threads of each process.", at_least=1, unset="all cores; a resumed run keeps its number", group=MACHINE
        ),
    ] = None
    loaders: Annotated[
        int | None,
        option(
            "Processes that read crops; 0: a thread.",
            at_least=0,
            unset="0 beside a CPU, up to 8 beside a GPU",
            group=MACHINE,
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """The result of a training."""

    out: Path
    """Run folder."""
    weights: Path
    """Its file of weights, for --model."""
    model_id: str
    """Hash of the weights."""
    identities: int
    images: int
    epochs: int
    """Epochs trained in all."""
    resumed_from: int | None
    """The step after which this call resumed; None for a run from the beginning."""
    last: Mapping[str, object] = field(default_factory=dict)
    """The last row of metrics.jsonl."""
    best_epoch: int | None = None
    """The epoch whose weights are in `weights`, 0 for the start; None if no epoch was scored."""
    suspects: int | None = None
    """Crops whose labels look wrong; None if there is no report."""
