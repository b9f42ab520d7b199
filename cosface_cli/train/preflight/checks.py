"""Checks for crops and settings that cannot be used for training."""

from __future__ import annotations

from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.maths.bounds import margin_upper_bound
from cosface_cli.train.crops.dataset import LabelledCrops
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.setup.settings import Settings


def check_margin(settings: Settings, identities: int) -> None:
    """Raises CosfaceError for a cosine margin above its bound (Wang 2018 Eq. 7)."""
    name = LOSSES.load(settings.loss).MARGIN_COS
    m = settings.loss_options[name] if name else 0.0
    bound = margin_upper_bound(identities, settings.embedding_size)
    if m > bound or (m == bound and is_bound_loose(identities, settings.embedding_size)):
        raise CosfaceError(
            f"the margin {m:g} is above {bound:.3g}, its bound for {identities} identities in "
            f"{settings.embedding_size} dimensions (Wang 2018 Eq. 7)",
            hint="lower --m; the paper's is 0.35",
        )


def check_parts(settings: Settings, data: LabelledCrops, ranks: Ranks) -> None:
    """Raises CosfaceError if there are too few crops or identities for the number of processes."""
    if ranks.world_size == 1:
        return
    crops = data.batch_size // settings.accumulate // ranks.world_size
    if crops < (1 if settings.sync_bn else 2):
        slices = f" in {settings.accumulate} slices" if settings.accumulate > 1 else ""
        reason = "" if settings.sync_bn else ", too few for batch norm"
        raise CosfaceError(
            f"{ranks.world_size} processes get {crops} crops each of a step's {data.batch_size}{slices}{reason}",
            hint="raise --batch, or use fewer processes",
        )
    if ranks.world_size > len(data.identities):
        raise CosfaceError(
            f"{ranks.world_size} processes are more than the {len(data.identities)} identities",
            hint=f"use at most {len(data.identities)} processes",
        )


def check_slices(settings: Settings, data: LabelledCrops) -> None:
    """Raises CosfaceError if a step has too few crops to be divided into slices."""
    if data.batch_size // settings.accumulate < 2:
        raise CosfaceError(
            f"--accumulate {settings.accumulate} cuts a step's {data.batch_size} crops into slices of one",
            hint=f"use at most {data.batch_size // 2}",
        )


def is_bound_loose(identities: int, embedding_size: int) -> bool:
    """Whether the bound of Eq. 7 cannot be reached. In two dimensions it is exact for any number of identities."""
    return embedding_size > 2 and identities > embedding_size + 1
