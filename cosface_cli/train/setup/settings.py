"""The settings of a run: everything that decides the weights, with every default filled in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from cosface_cli.backbones import BACKBONES
from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.losses.build_loss import build
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.augment import Augmentation, augmentation
from cosface_cli.train.crops.sampling import Sampling, sampling
from cosface_cli.train.setup.precedence import with_recipe
from cosface_cli.train.setup.recipes import NO_RECIPE, Recipe
from cosface_cli.train.step import OPTIMIZERS, SCHEDULES

T = TypeVar("T")

_JSON_NAMES = {"loss_options": "head"}  # the name in run.json since its first version
_ADD_SCORE = "add --validate PAIRS or --hold-out 0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The fields of TrainConfig that decide the weights. run.json has them."""

    loss: str
    loss_options: Mapping[str, float]
    """All of the loss's options by name, s and m among them."""
    backbone: str
    embedding_size: int
    start: str | None
    """Model id of the weights to begin with; None: random ones."""
    freeze: float
    hold_out: float
    blend: bool
    sample_rate: float
    epochs: int | None
    """None if the length is in steps."""
    steps: int | None
    """None if the length is in epochs."""
    batch: int
    accumulate: int
    optimizer: str
    momentum: float | None
    """None if the optimizer has no momentum."""
    nesterov: bool | None
    lr: float
    head_lr: float
    warmup: int | None
    """None: the first epoch, 200 steps at most."""
    schedule: str
    milestones: tuple[int, ...]
    """In the unit of the length: epochs or steps."""
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
        """The settings as in run.json."""
        values = {_JSON_NAMES.get(f.name, f.name): getattr(self, f.name) for f in fields(self)}
        sampler = f"balanced {self.sampling.images}" if self.sampling.is_balanced else self.sampling.name
        return {
            **values,
            "head": dict(self.loss_options),
            "milestones": list(self.milestones),
            "sampling": sampler,
            "augment": list(self.augment.names),
        }

    @property
    def is_scored(self) -> bool:
        """Whether there are pairs or held-out people on which each epoch is scored."""
        return self.hold_out > 0 or self.validate is not None


@dataclass(frozen=True, slots=True)
class StartNetwork:
    """The network of the weights to begin with."""

    backbone: str
    embedding_size: int
    model_id: str


def resolve(asked: TrainConfig, recipe: Recipe = NO_RECIPE, start: StartNetwork | None = None) -> Settings:
    """The settings of a configuration with a recipe. start: the network of the weights to begin with.

    Raises CosfaceError for settings that contradict each other, or that the chosen loss, schedule, optimizer or start
    would ignore.
    """
    config = with_recipe(asked, recipe)
    _check_combinations(config, asked)
    derived = {
        **_network(config, start),
        "nesterov": _nesterov(config),
        "loss_options": _loss_options(config, asked),
        "milestones": _milestones(config),
        "keep": _keep(config),
        "sampling": sampling(_set(config.sampler), config.images_per_identity),
        "augment": augmentation(_set(config.flip), _set(config.augment)),
        "validate": None if config.validate is None else str(config.validate),
        "validate_root": None if config.validate_root is None else str(config.validate_root),
    }
    names = [f.name for f in fields(Settings)]
    return Settings(**{name: derived[name] if name in derived else getattr(config, name) for name in names})


def default_out(settings: Settings) -> Path:
    """runs/cosface-mobilefacenet-m0.35-s30: the same for the same command, so that a run is resumed."""
    options = settings.loss_options
    numbers = [f"{name}{options[name]:g}" for name in ("m", "s") if name in options]
    start = ["tuned"] if settings.start else []
    return Path("runs") / "-".join([settings.loss, settings.backbone, *numbers, *start])


def differences(before: Mapping[str, object], asked: Mapping[str, object]) -> dict[str, str]:
    """The differences between two settings, as a text by name: "0.35, asked for 0.5"."""
    names = [*asked, *(name for name in before if name not in asked)]
    return {
        name: f"{_words(before.get(name))}, asked for {_words(asked.get(name))}"
        for name in names
        if before.get(name) != asked.get(name)
    }


def _network(config: TrainConfig, start: StartNetwork | None) -> dict[str, Any]:
    """Backbone, embedding size and start: those of the start, if there is one."""
    if start is None:
        name = _set(config.backbone)
        return {"backbone": name, "embedding_size": config.embedding_size or BACKBONES.load(name).embedding_size}
    if config.backbone not in (None, start.backbone) or config.embedding_size not in (None, start.embedding_size):
        raise CosfaceError(
            f"--start {config.start} is a {start.backbone} of {start.embedding_size} dimensions",
            hint="leave out --backbone and --embedding-size",
        )
    return {"backbone": start.backbone, "embedding_size": start.embedding_size, "start": start.model_id}


def _nesterov(config: TrainConfig) -> bool | None:
    """Whether the momentum is Nesterov's; None where the optimizer has no momentum."""
    defaults = OPTIMIZERS.load(_set(config.optimizer)).defaults
    for name in ("momentum", "nesterov"):
        is_ignored = name not in defaults and getattr(config, name) is not None
        _require(not is_ignored, f"--optimizer {config.optimizer} takes no --{name}", "leave it out")
    if "nesterov" not in defaults:
        return None
    has_momentum = bool(config.momentum)
    _require(has_momentum or not config.nesterov, "--nesterov needs a --momentum above 0")
    return has_momentum if config.nesterov is None else config.nesterov


def _check_combinations(config: TrainConfig, asked: TrainConfig) -> None:
    """Raises CosfaceError for settings that have no effect because of another one."""
    batch, accumulate = _set(config.batch), _set(config.accumulate)
    _require(
        batch // accumulate >= 2,
        f"--accumulate {accumulate} cuts a batch of {batch} into slices of one, too few for batch norm",
        f"use at most {batch // 2}",
    )
    _require((config.epochs is None) != (config.steps is None), "--epochs and --steps both set the length", "give one")
    _require(
        (config.validate is None) == (config.validate_root is None),
        "--validate PAIRS and --validate-root DIR go together",
        "give both",
    )
    _require(not config.patience or _is_scored(config), "--patience needs a score", _ADD_SCORE)
    _require(config.keep != "best" or _is_scored(config), "--keep best needs a score", _ADD_SCORE)
    has_start = config.start is not None
    _require(has_start or not config.freeze, "--freeze keeps layers of a start", "add --start default")
    _require(has_start or not config.blend, "--blend mixes with a start", "add --start default")
    if config.blend and not config.hold_out:
        _require(not asked.blend, "--blend is chosen on people held out", "add --hold-out 0.1")
        raise CosfaceError("the recipe blends by the people that --hold-out leaves out", hint="add --no-blend")


def _loss_options(config: TrainConfig, asked: TrainConfig) -> dict[str, float]:
    """All options of the loss by name."""
    name = _set(config.loss)
    loss = LOSSES.load(name)
    options = dict(config.loss_options or {})
    for option, value in (("s", config.s), ("m", config.m)):
        if value is None:
            continue
        _require(option in loss.DEFAULTS, f"the loss {name!r} takes no --{option}", "leave it out, or --loss cosface")
        _require(
            options.get(option, value) == value, f"--{option} and --loss-option {option}= differ", "give one of them"
        )
        options[option] = value
    for option, value in options.items():
        _require(math.isfinite(value), f"--loss-option {option} must be a finite number, got {value:g}")
    head = build(name, 2, 2, options, seed=0)  # raises for options that the loss cannot be built with
    has_weights = any(True for _ in head.parameters())
    _require(
        has_weights or asked.head_lr is None, f"the loss {name!r} has no class weights for --head-lr", "leave it out"
    )
    if _set(config.sample_rate) < 1 and not loss.SHARDABLE:
        raise CosfaceError(f"the loss {name!r} needs all classes in a step", hint="--sample-rate 1")
    return {**loss.DEFAULTS, **options}


def _milestones(config: TrainConfig) -> tuple[int, ...]:
    schedule, milestones = _set(config.schedule), config.milestones or ()
    unit = "epochs" if config.steps is None else "steps"
    if SCHEDULES.load(schedule).factor is None:
        _require(bool(milestones), f"--schedule {schedule} needs --milestones", f"the {unit}, for example 10,16")
    else:
        _require(not milestones, f"--schedule {schedule} has no milestones", "leave out one of the two")
    is_ascending = list(milestones) == sorted(set(milestones))
    _require(is_ascending, f"--milestones must be ascending {unit}, got {','.join(map(str, milestones))}")
    return milestones


def _keep(config: TrainConfig) -> str:
    if config.keep is not None:
        return config.keep
    return "best" if _is_scored(config) else "last"


def _is_scored(config: TrainConfig) -> bool:
    return config.validate is not None or bool(config.hold_out)


def _set(value: T | None) -> T:
    """A setting that is not None, because with_recipe has filled it in."""
    assert value is not None
    return value


def _require(holds: bool, problem: str, hint: str | None = None) -> None:
    if not holds:
        raise CosfaceError(problem, hint=hint)


def _words(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return " ".join(f"{name} {number:g}" for name, number in sorted(value.items())) or "none"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    return str(value)
