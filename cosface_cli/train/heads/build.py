"""Choosing the class head of a run."""

from __future__ import annotations

import torch
from torch import nn

from cosface_cli.losses import LOSSES, build_loss
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.heads import ClassHead
from cosface_cli.train.heads.partial_fc import PartialFC
from cosface_cli.train.heads.whole import WholeHead
from cosface_cli.train.setup.settings import Settings


def build_head(settings: Settings, identities: int, device: torch.device, ranks: Ranks) -> ClassHead:
    """The class head, with weights drawn from the run's seed: sharded over the processes if the loss allows it, sampled
    if the settings ask for it, else whole in each process."""

    def build(count: int) -> nn.Module:
        return build_loss.build(settings.loss, settings.embedding_size, count, settings.loss_options, settings.seed + 1)

    is_shared = ranks.world_size > 1 and LOSSES.load(settings.loss).SHARDABLE
    if is_shared or settings.sample_rate < 1:
        return PartialFC(build, identities, ranks, device, settings.sample_rate, settings.seed)
    return WholeHead(build(identities), identities, ranks, device)
