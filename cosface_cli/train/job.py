"""A training job: settings, starting weights, device and crops, made from a config and its recipe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from cosface_cli.backbones import Backbone
from cosface_cli.backbones.build_backbone import declaration
from cosface_cli.engines.models.starting_weights import Start, starting_weights
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.dataset import Batch, Dropped, LabelledCrops, fingerprint, label, source_name
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.preflight.checks import check_margin, check_parts
from cosface_cli.train.scoring.hold_out import HeldOut, split
from cosface_cli.train.setup.device import choose_device, loaders_for
from cosface_cli.train.setup.recipes import Recipe, count_crops, load_recipe, recipe_by_size
from cosface_cli.train.setup.settings import Settings, StartNetwork, resolve
from cosface_cli.train.step.learner import Learner, new_learner
from cosface_cli.train.step.schedule import Schedule, schedule_of


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainingJob:
    """All that a training needs."""

    settings: Settings
    backbone: Backbone
    start: Start | None
    """Weights to begin with; None: random ones."""
    ranks: Ranks
    device: torch.device
    data: LabelledCrops
    """The crops to train on, without those of held-out people."""
    held_out: HeldOut | None
    source: str
    """Short name of the folder or files of the crops."""
    dropped: Dropped
    facts: dict[str, object]
    """The entry of run.json about all crops."""
    schedule: Schedule


def training_job(config: TrainConfig, emit: OnOutcome, ranks: Ranks | None = None) -> TrainingJob:
    """The job of a configuration. Raises CosfaceError for crops or settings that cannot be trained with."""
    ranks = ranks or Ranks()
    recipe = _recipe(config, emit)
    start_name = config.start or recipe.values.get("start")
    start = starting_weights(start_name) if start_name else None
    settings = resolve(config, recipe, _network_of(start))
    backbone = declaration(settings.backbone)
    device = choose_device(config.device, emit, ranks)
    source = source_name(config.aligned)
    data, dropped = label(
        config.aligned,
        settings.template,
        template(backbone.template),
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
    if ranks.broadcast_object(facts["fingerprint"]) != facts["fingerprint"]:
        raise CosfaceError(
            f"process {ranks.rank} has other crops than process 0", source, "give all processes the same crops"
        )
    held_out = None
    if settings.hold_out:
        data, held_out = split(data, settings.hold_out)
        settings.sampling.check(len(data.identities), settings.batch)
    check_margin(settings, len(data.identities))
    check_parts(settings, data, ranks)
    data.loader.processes = loaders_for(device, config.loaders, ranks.local_world_size)
    return TrainingJob(
        settings=settings,
        backbone=backbone,
        start=start,
        ranks=ranks,
        device=device,
        data=data,
        held_out=held_out,
        source=source,
        dropped=dropped,
        facts=facts,
        schedule=schedule_of(settings, data.steps),
    )


def _recipe(config: TrainConfig, emit: OnOutcome) -> Recipe:
    if config.recipe is not None:
        return load_recipe(config.recipe)
    if config.start is not None:
        emit(Note("recipe finetune, for --start; choose another one with --recipe NAME"))
        return load_recipe("finetune")
    images, words = count_crops(config.aligned)
    recipe, reason = recipe_by_size(images)
    if images:
        emit(Note(f"recipe {recipe.name}, for {words}: {reason}; choose another one with --recipe NAME"))
    return recipe


def _network_of(start: Start | None) -> StartNetwork | None:
    if start is None:
        return None
    return StartNetwork(start.backbone, start.embedding_size, start.lineage[-1])


def first_batch(job: TrainingJob) -> Batch:
    """This process's part of the first batch."""
    slices = job.ranks.local_slices(job.data.batch_size, job.settings.accumulate)
    return next(job.data.batches(1, part=np.concatenate(slices)))


def learner_of(job: TrainingJob) -> Learner:
    """The learner before its first step."""
    tensors = job.start.tensors if job.start else None
    return new_learner(job.settings, job.backbone, len(job.data.identities), job.device, tensors, job.ranks)
