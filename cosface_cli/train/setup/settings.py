"""What was asked, with every default filled in: all that decides the weights, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosface_cli.backbones import BACKBONES, Backbone
from cosface_cli.engines.runtime.devices import PRECISIONS
from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.losses.loading import build
from cosface_cli.maths.geometry import template
from cosface_cli.registry import one_of
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.augment import Augmentation, augmentation
from cosface_cli.train.crops.sampling import Sampling, sampling
from cosface_cli.train.setup.recipes import Recipe, filled
from cosface_cli.train.step.optimizer import OPTIMIZERS
from cosface_cli.train.step.schedule import SCHEDULES

KEEPS = ("best", "last")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """As TrainConfig, resolved. head: the loss's settings by name, s and m among them; start: model id of the weights
    to begin with, None for freshly drawn ones; one of epochs and steps is None, and milestones count the other."""

    loss: str
    head: Mapping[str, float]
    backbone: str
    embedding_size: int
    start: str | None
    freeze: float
    hold_out: float
    blend: bool
    sample_rate: float
    epochs: int | None
    steps: int | None
    batch: int
    accumulate: int
    optimizer: str
    momentum: float | None
    nesterov: bool | None
    lr: float
    head_lr: float
    warmup: int | None
    schedule: str
    milestones: tuple[int, ...]
    weight_decay: float
    clip: float
    ema: float
    precision: str
    channels_last: bool
    compile: bool
    sync_bn: bool
    min_images: int
    patience: int
    keep: str
    sampling: Sampling
    augment: Augmentation
    seed: int
    template: str | None
    validate: str | None
    validate_root: str | None

    def as_json(self) -> dict[str, Any]:
        """As read back from run.json."""
        return {**asdict(self), "head": dict(self.head), "milestones": list(self.milestones), **self._looks()}

    def _looks(self) -> dict[str, Any]:
        words = [self.sampling.name, *([str(self.sampling.images)] if self.sampling.name == "balanced" else [])]
        return {"sampling": " ".join(words), "augment": list(self.augment.names)}

    @property
    def is_scored(self) -> bool:
        """Whether there are pairs or people to score each epoch on."""
        return self.hold_out > 0 or self.validate is not None


def resolve(config: TrainConfig, recipe: Recipe | None = None, start: tuple[str, int, str] | None = None) -> Settings:
    """The settings of a configuration by a recipe, None for what silence means.

    start: backbone, embedding size and model id of the weights to begin with. Raises CosfaceError for unknown names,
    values out of range, and settings that the chosen loss, schedule, optimizer or start would ignore.
    """
    asked = config
    config = filled(config, recipe or Recipe("", "", {}))
    backbone_name, size, start_id = _network(config, start)
    momentum, nesterov = _sgd(config)
    if config.template is not None:
        template(config.template)
    _check_numbers(config)
    _check_together(config, asked)
    return Settings(
        loss=str(config.loss),
        head=_head_settings(config, asked),
        backbone=backbone_name,
        embedding_size=size,
        start=start_id,
        freeze=_of(config.freeze),
        hold_out=_of(config.hold_out),
        blend=_of(config.blend),
        sample_rate=_of(config.sample_rate),
        epochs=config.epochs,
        steps=config.steps,
        batch=_of(config.batch),
        accumulate=_of(config.accumulate),
        optimizer=_of(config.optimizer),
        momentum=momentum,
        nesterov=nesterov,
        lr=_of(config.lr),
        head_lr=_of(config.head_lr),
        warmup=config.warmup,
        schedule=_schedule(config),
        milestones=config.milestones or (),
        weight_decay=_of(config.weight_decay),
        clip=_of(config.clip),
        ema=_of(config.ema),
        precision=_of(config.precision),
        channels_last=_of(config.channels_last),
        compile=_of(config.compile),
        sync_bn=_of(config.sync_bn),
        min_images=_of(config.min_images),
        patience=_of(config.patience),
        keep=_keep(config),
        sampling=sampling(_of(config.sampler), config.images_per_identity),
        augment=augmentation(_of(config.flip), _of(config.augment)),
        seed=config.seed,
        template=config.template,
        validate=None if config.validate is None else str(config.validate),
        validate_root=None if config.validate_root is None else str(config.validate_root),
    )


def default_out(settings: Settings) -> Path:
    """runs/cosface-mobilefacenet-m0.35-s30: found again by the same command."""
    numbers = [f"{name}{settings.head[name]:g}" for name in ("m", "s") if name in settings.head]
    return Path("runs") / "-".join([settings.loss, settings.backbone, *numbers, *(["tuned"] if settings.start else [])])


def differences(was: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, str]:
    """Where two settings part, as words by name: "0.35, asked for 0.5"."""
    names = [*asked, *(name for name in was if name not in asked)]
    return {
        name: f"{_words(was.get(name))}, asked for {_words(asked.get(name))}"
        for name in names
        if was.get(name) != asked.get(name)
    }


def _network(config: TrainConfig, start: tuple[str, int, str] | None) -> tuple[str, int, str | None]:
    """Name, embedding size and model id of the network to train: the start's, if there is one."""
    if start is None:
        backbone: Backbone = BACKBONES.load(str(config.backbone))
        size = backbone.embedding_size if config.embedding_size is None else config.embedding_size
        _require(size >= 2, "--embedding-size must be at least 2")
        return str(config.backbone), size, None
    name, size, model_id = start
    if config.backbone not in (None, name) or config.embedding_size not in (None, size):
        raise CosfaceError(
            f"--start {config.start} is a {name} of {size} dimensions",
            hint="leave out --backbone and --embedding-size",
        )
    return name, size, model_id


def _sgd(config: TrainConfig) -> tuple[float | None, bool | None]:
    """Momentum and whether it is Nesterov's; None each where the optimizer has none."""
    one_of(str(config.optimizer), OPTIMIZERS, "--optimizer")
    if config.optimizer != "sgd":
        _require(config.momentum is None, f"--optimizer {config.optimizer} takes no --momentum", "leave it out")
        _require(config.nesterov is None, f"--optimizer {config.optimizer} takes no --nesterov", "leave it out")
        return None, None
    momentum = 0.9 if config.momentum is None else config.momentum
    nesterov = bool(momentum) if config.nesterov is None else config.nesterov
    _require(math.isfinite(momentum) and 0 <= momentum < 1, "--momentum must be from 0 to below 1")
    _require(momentum > 0 or not nesterov, "--nesterov needs a --momentum above 0")
    return momentum, nesterov


def _check_numbers(config: TrainConfig) -> None:
    batch, accumulate = _of(config.batch), _of(config.accumulate)
    _require(config.epochs is None or config.epochs >= 1, "--epochs must be at least 1")
    _require(config.steps is None or config.steps >= 1, "--steps must be at least 1")
    _require(batch >= 2, f"--batch {batch} leaves batch norm nothing to compare", "give 2 or more")
    _require(accumulate >= 1, "--accumulate must be at least 1")
    _require(
        batch // accumulate >= 2,
        f"--accumulate {accumulate} cuts a batch of {batch} into slices of one: batch norm has nothing to compare",
        f"give at most {batch // 2}",
    )
    _require(_positive(config.lr), "--lr must be above 0")
    _require(_positive(config.head_lr), "--head-lr must be above 0")
    _require(_at_least_0(config.clip), "--clip must be 0 or more")
    _require(_at_least_0(config.weight_decay), "--weight-decay must be 0 or more")
    _require(config.warmup is None or config.warmup >= 0, "--warmup must be 0 or more")
    _require(_at_least_0(config.ema) and _of(config.ema) < 1, "--ema must be from 0 to below 1, such as 0.999")
    _require(_at_least_0(config.freeze) and _of(config.freeze) < 1, "--freeze must be from 0 to below 1")
    _require(_at_least_0(config.hold_out) and _of(config.hold_out) < 1, "--hold-out must be from 0 to below 1")
    _require(_of(config.min_images) >= 1, "--min-images must be at least 1")
    _require(_of(config.patience) >= 0, "--patience must be 0 or more")
    _require(config.loaders is None or config.loaders >= 0, "--loaders must be 0 or more")
    _require(0 <= config.seed < 2**63, "--seed must be from 0 to below 2^63")
    _require(config.threads is None or config.threads >= 1, "--threads must be at least 1")
    _require(config.save_seconds >= 0, "--save-every must be 0 or more")
    one_of(_of(config.precision), PRECISIONS, "--precision")
    rate = _of(config.sample_rate)
    _require(0 < rate <= 1, f"--sample-rate {rate:g} is no share of the classes", "give one above 0, up to 1")
    _require(config.processes is None or config.processes >= 1, "--processes must be at least 1")


def _check_together(config: TrainConfig, asked: TrainConfig) -> None:
    """Refuse settings that another one makes void."""
    _require((config.epochs is None) != (config.steps is None), "--epochs and --steps are both lengths", "give one")
    if (config.validate is None) != (config.validate_root is None):
        raise CosfaceError("--validate PAIRS and --validate-root DIR go together", hint="give both")
    scored = config.validate is not None or _of(config.hold_out) > 0
    _require(not config.patience or scored, "--patience needs a score", "add --validate PAIRS or --hold-out 0.1")
    _require(not config.blend or config.start is not None, "--blend mixes with a start", "add --start default")
    if config.blend and not _of(config.hold_out):
        _require(not asked.blend, "--blend is chosen on people held out", "add --hold-out 0.1")
        raise CosfaceError("the recipe blends by the people that --hold-out leaves", hint="add --no-blend")
    _require(config.start is not None or not config.freeze, "--freeze keeps layers of a start", "add --start default")


def _head_settings(config: TrainConfig, asked: TrainConfig) -> dict[str, float]:
    name = str(config.loss)
    defaults: Mapping[str, float] = LOSSES.load(name).DEFAULTS
    options = dict(config.loss_options or {})
    for flag, value in (("s", config.s), ("m", config.m)):
        if value is None:
            continue
        if flag not in defaults:
            raise CosfaceError(f"the loss {name!r} takes no --{flag}", hint="leave it out, or --loss cosface")
        _require(options.get(flag, value) == value, f"--{flag} and --loss-option {flag}= differ", "give one of them")
        options[flag] = value
    for flag, value in options.items():
        _require(math.isfinite(value), f"--{flag} must be a number")
    _require(options.get("s", 1.0) > 0, "--s must be above 0")
    _require(options.get("m", 0.0) >= 0, "--m must be 0 or more")
    head = build(name, 2, 2, options, seed=0)  # raises for what it cannot be built with
    is_moved = asked.head_lr is None or any(True for _ in head.parameters())
    _require(is_moved, f"the loss {name!r} has no class weights for --head-lr", "leave it out")
    if _of(config.sample_rate) < 1 and not LOSSES.load(name).SHARDABLE:
        raise CosfaceError(f"the loss {name!r} needs all classes in a step", hint="--sample-rate 1")
    return {**defaults, **options}


def _schedule(config: TrainConfig) -> str:
    name = config.schedule or ("step" if config.milestones else "cosine")
    unit = "epochs" if config.steps is None else "steps"
    one_of(name, SCHEDULES, "--schedule")
    if name == "step" and not config.milestones:
        raise CosfaceError(f"--schedule step needs its {unit}", hint="add for example --milestones 10,16")
    if name != "step" and config.milestones:
        raise CosfaceError(f"--schedule {name} has no milestones", hint="leave out one of the two")
    milestones = list(config.milestones or ())
    ascending = milestones == sorted(set(milestones))
    _require(ascending and all(place >= 1 for place in milestones), f"--milestones are rising {unit} from 1")
    return name


def _keep(config: TrainConfig) -> str:
    scored = config.validate is not None or _of(config.hold_out) > 0
    if config.keep is None:
        return "best" if scored else "last"
    one_of(config.keep, KEEPS, "--keep")
    _require(scored or config.keep == "last", "--keep best needs a score", "add --validate PAIRS or --hold-out 0.1")
    return config.keep


def _of(value: Any) -> Any:
    """A field that its recipe or silence has filled."""
    assert value is not None
    return value


def _positive(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _at_least_0(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value >= 0


def _require(holds: bool, problem: str, hint: str | None = None) -> None:
    if not holds:
        raise CosfaceError(problem, hint=hint)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {inner:g}" for name, inner in sorted(value.items())) or "none"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
