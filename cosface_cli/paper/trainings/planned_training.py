"""The trainings that a figure needs, their order, and the config of the train stage for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cosface_cli.losses import LOSSES
from cosface_cli.outcomes import ignore
from cosface_cli.paper import TrainingConfig
from cosface_cli.train import TrainConfig
from cosface_cli.train.job import training_job
from cosface_cli.train.setup.recipes import count_crops, recipe_by_size

_BALANCED = {"sampler": "balanced"}  # several crops of each person in a batch: for losses that compare them


@dataclass(frozen=True, slots=True)
class PlannedTraining:
    """One training of a figure; it is run once with each seed."""

    name: str
    """Its run folder is runs/NAME-seed0."""
    loss: str
    """A name of LOSSES."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Fields of TrainConfig that this training alone sets."""
    after: PlannedTraining | None = None
    """The training whose weights it starts from."""


SOFTMAX = PlannedTraining("softmax", "softmax")
CONTRASTIVE = PlannedTraining("contrastive", "contrastive", _BALANCED)
TRIPLET = PlannedTraining("triplet", "triplet", _BALANCED)


def lmcl(m: float) -> PlannedTraining:
    """LMCL with this margin; m = 0 is NSL."""
    return PlannedTraining(f"cosface-m{m:g}", "cosface", {"m": m}) if m else PlannedTraining("nsl", "nsl")


def in_order(plans: Sequence[PlannedTraining], seeds: Sequence[int]) -> list[tuple[PlannedTraining, int]]:
    """Each training once with each seed. A training comes after the one that it starts from."""
    order: dict[str, PlannedTraining] = {}
    for plan in plans:
        for each in (*_predecessors(plan), plan):
            order.setdefault(each.name, each)
    return [(plan, seed) for seed in dict.fromkeys(seeds) for plan in order.values()]


def run_folder(plan: PlannedTraining, seed: int, out: Path) -> Path:
    """out/runs/NAME-seed0."""
    return out / "runs" / f"{plan.name}-seed{seed}"


def train_config(plan: PlannedTraining, config: TrainingConfig, seed: int) -> TrainConfig:
    """The config of the train stage for a training with one seed."""
    overrides = dict(plan.overrides)
    if "s" in LOSSES.load(plan.loss).DEFAULTS and config.s is not None:
        overrides.setdefault("s", config.s)
    return TrainConfig(
        aligned=config.aligned,
        template=config.template,
        out=run_folder(plan, seed, config.out),
        # all trainings of a figure use one recipe; by itself train would choose another one for those with a start
        recipe=config.recipe or _recipe(config.aligned),
        start=None if plan.after is None else str(run_folder(plan.after, seed, config.out)),
        loss=plan.loss,
        backbone=None if plan.after else config.backbone,
        epochs=config.epochs,
        steps=config.steps,
        batch=config.batch,
        lr=config.lr,
        seed=seed,
        device=config.device,
        threads=config.threads,
        loaders=config.loaders,
        report=False,
        **overrides,
    )


def without_start(plan: PlannedTraining) -> PlannedTraining:
    """The training with new weights, for estimates before the training that it starts from was run."""
    return replace(plan, after=None)


def step_count(config: TrainingConfig, plan: PlannedTraining = SOFTMAX) -> int:
    """The number of steps of a training. Raises CosfaceError if it cannot be run."""
    job = training_job(train_config(without_start(plan), replace(config, out=Path()), 0), ignore)
    with closing(job.data.loader):
        return job.schedule.steps


def _recipe(aligned: Path) -> str:
    images, _ = count_crops(aligned)
    recipe, _ = recipe_by_size(images)
    return recipe.name


def _predecessors(plan: PlannedTraining) -> list[PlannedTraining]:
    return [] if plan.after is None else [*_predecessors(plan.after), plan.after]
