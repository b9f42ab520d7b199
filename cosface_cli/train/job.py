"""What was asked for, put together: recipe, start, settings, device and crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.loading import declaration
from cosface_cli.engines.models.starting_weights import Start, starting_weights
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.dataset import Dropped, LabelledCrops, fingerprint, label, named
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.preflight.checks import check_margin, check_parts
from cosface_cli.train.scoring.hold_out import HeldOut, split
from cosface_cli.train.setup import recipes
from cosface_cli.train.setup.device import choose, loaders_for
from cosface_cli.train.setup.recipes import Recipe
from cosface_cli.train.setup.settings import Settings, resolve
from cosface_cli.train.step.learner import Learner, new_learner
from cosface_cli.train.step.schedule import Schedule, scheduled


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What is to be trained on what. data: without the people held out; facts: what run.json says of all crops."""

    settings: Settings
    backbone: Backbone
    start: Start | None
    ranks: Ranks
    device: torch.device
    data: LabelledCrops
    held: HeldOut | None
    source: str
    dropped: Dropped
    facts: dict[str, Any]
    schedule: Schedule


def task_of(config: TrainConfig, emit: OnOutcome, ranks: Ranks | None = None) -> Task:
    """Recipe, settings and crops of a configuration. Raises CosfaceError for what cannot be trained with."""
    ranks = ranks or Ranks()
    recipe = _recipe(config, emit)
    spec = config.start or recipe.values.get("start")
    start = starting_weights(spec) if spec else None
    settings = resolve(config, recipe, (start.backbone, start.embedding_size, start.lineage[-1]) if start else None)
    backbone = declaration(settings.backbone)
    device = choose(config.device, emit, ranks)
    needed = template(backbone.template)
    source = named(config.aligned)
    data, dropped = label(
        config.aligned,
        settings.template,
        needed,
        settings.min_images,
        settings.batch,
        settings.seed,
        settings.sampling,
        settings.augment,
        emit,
    )
    facts = {
        "folder": source,
        "fingerprint": fingerprint(data),
        "crops": len(data.crops),
        "recipe": recipe.name,
    }
    if ranks.told(facts["fingerprint"]) != facts["fingerprint"]:
        raise CosfaceError(
            f"process {ranks.rank} finds other crops here than the first one", source, "give it the same"
        )
    held = None
    if settings.hold_out:
        data, held = split(data, settings.hold_out)
        settings.sampling.check(len(data.identities), settings.batch)
    check_margin(settings, len(data.identities))
    check_parts(settings, data, ranks)
    data.readers.loaders = loaders_for(device, config.loaders, ranks.on_machine)
    schedule = scheduled(settings, data.steps)
    return Task(settings, backbone, start, ranks, device, data, held, source, dropped, facts, schedule)


def _recipe(config: TrainConfig, emit: OnOutcome) -> Recipe:
    if config.recipe is not None:
        return recipes.named(config.recipe)
    if config.start is not None:
        emit(Note("recipe finetune, for --start; --recipe NAME takes another"))
        return recipes.named("finetune")
    images, words = recipes.census(config.aligned)
    recipe, why = recipes.chosen(images)
    if images:
        emit(Note(f"recipe {recipe.name}, for {words}: {why}; --recipe NAME takes another"))
    return recipe


def learner_of(task: Task) -> Learner:
    """The learner as it begins."""
    tensors = task.start.tensors if task.start else None
    return new_learner(task.settings, task.backbone, len(task.data.identities), task.device, tensors, task.ranks)
