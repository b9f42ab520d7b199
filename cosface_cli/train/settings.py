"""What was asked, with every default filled in: all that decides the weights, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cosface_cli.backbones import BACKBONES, Backbone
from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.losses.loading import build
from cosface_cli.maths.geometry import template
from cosface_cli.registry import suggest
from cosface_cli.train import TrainConfig
from cosface_cli.train.augment import Augmentation, augmentation
from cosface_cli.train.sampling import Sampling, sampling
from cosface_cli.train.schedule import SCHEDULES


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """As TrainConfig, resolved. head: the loss's settings by name, s and m."""

    loss: str
    head: Mapping[str, float]
    backbone: str
    embedding_size: int
    epochs: int
    batch: int
    lr: float
    warmup: int | None
    schedule: str
    milestones: tuple[int, ...]
    weight_decay: float
    clip: float
    min_images: int
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


def resolve(config: TrainConfig) -> Settings:
    """The settings of a configuration. Raises CosfaceError for unknown names, values out of range, and settings
    that the chosen loss or schedule would ignore."""
    backbone: Backbone = BACKBONES.load(config.backbone)
    head = _head_settings(config)
    _require(config.epochs >= 1, "--epochs must be at least 1")
    _require(config.batch >= 2, f"--batch {config.batch} leaves batch norm nothing to compare", "give 2 or more")
    _require(_positive(config.lr), "--lr must be above 0")
    _require(_positive(config.clip), "--clip must be above 0")
    _require(math.isfinite(config.weight_decay) and config.weight_decay >= 0, "--weight-decay must be 0 or more")
    _require(config.warmup is None or config.warmup >= 0, "--warmup must be 0 or more")
    _require(config.min_images >= 1, "--min-images must be at least 1")
    _require(config.loaders is None or config.loaders >= 0, "--loaders must be 0 or more")
    _require(config.seed >= 0, "--seed must be 0 or more")
    _require(config.threads is None or config.threads >= 1, "--threads must be at least 1")
    _require(config.save_seconds >= 0, "--save-every must be 0 or more")
    size = backbone.embedding_size if config.embedding_size is None else config.embedding_size
    _require(size >= 2, "--embedding-size must be at least 2")
    if config.template is not None:
        template(config.template)
    if (config.validate is None) != (config.validate_root is None):
        raise CosfaceError("--validate PAIRS and --validate-root DIR go together", mend="give both")
    return Settings(
        loss=config.loss,
        head=head,
        backbone=config.backbone,
        embedding_size=size,
        epochs=config.epochs,
        batch=config.batch,
        lr=config.lr,
        warmup=config.warmup,
        schedule=_schedule(config),
        milestones=config.milestones,
        weight_decay=config.weight_decay,
        clip=config.clip,
        min_images=config.min_images,
        sampling=sampling(config.sampler, config.images_per_identity),
        augment=augmentation(config.flip, config.augment),
        seed=config.seed,
        template=config.template,
        validate=None if config.validate is None else str(config.validate),
        validate_root=None if config.validate_root is None else str(config.validate_root),
    )


def default_out(settings: Settings) -> Path:
    """runs/cosface-mobilefacenet-m0.35-s64: found again by the same command."""
    numbers = [f"{name}{settings.head[name]:g}" for name in sorted(settings.head)]
    return Path("runs") / "-".join([settings.loss, settings.backbone, *numbers])


def differences(was: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, str]:
    """Where two settings part, as words by name: "0.35, asked for 0.5"."""
    names = [*asked, *(name for name in was if name not in asked)]
    return {
        name: f"{_words(was.get(name))}, asked for {_words(asked.get(name))}"
        for name in names
        if was.get(name) != asked.get(name)
    }


def _head_settings(config: TrainConfig) -> dict[str, float]:
    defaults: Mapping[str, float] = LOSSES.load(config.loss).DEFAULTS
    given = {name: value for name, value in (("s", config.s), ("m", config.m)) if value is not None}
    for name, value in given.items():
        if name not in defaults:
            raise CosfaceError(f"the loss {config.loss!r} takes no --{name}", mend="leave it out, or --loss cosface")
        _require(math.isfinite(value), f"--{name} must be a number")
    head = {**defaults, **given}
    _require(head.get("s", 1.0) > 0, "--s must be above 0")
    _require(head.get("m", 0.0) >= 0, "--m must be 0 or more")
    build(config.loss, 2, 2, head, seed=0)  # raises for what it cannot be built with
    return head


def _schedule(config: TrainConfig) -> str:
    name = config.schedule or ("step" if config.milestones else "cosine")
    if name not in SCHEDULES:
        raise CosfaceError(f"no schedule is called {name!r}", mend=suggest(name, list(SCHEDULES)))
    if name == "step" and not config.milestones:
        raise CosfaceError("--schedule step needs its epochs", mend="add for example --milestones 10,16")
    if name != "step" and config.milestones:
        raise CosfaceError(f"--schedule {name} has no milestones", mend="leave out one of the two")
    ascending = list(config.milestones) == sorted(set(config.milestones))
    _require(ascending and all(epoch >= 1 for epoch in config.milestones), "--milestones are rising epochs from 1")
    return name


def _positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _require(holds: bool, problem: str, mend: str | None = None) -> None:
    if not holds:
        raise CosfaceError(problem, mend=mend)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name} {inner:g}" for name, inner in sorted(value.items())) or "none"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
