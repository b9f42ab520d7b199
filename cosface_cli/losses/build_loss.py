"""Losses by name, with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import nn

from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.registry import suggest


def build(name: str, embedding_size: int, identities: int, settings: Mapping[str, float], seed: int) -> nn.Module:
    """A loss whose weights are drawn from that seed; torch's own random state is left as it was.

    settings: by name, what is missing at its default. Raises CosfaceError for an unknown loss or setting, with the near
    miss, and for a value out of range; with sizes of 2 that is a cheap check of settings.
    """
    loss = LOSSES.load(name)
    for setting in settings:
        if setting not in loss.DEFAULTS:
            hint = suggest(setting, list(loss.DEFAULTS)) if loss.DEFAULTS else "it has no settings"
            raise CosfaceError(f"the loss {name!r} has no setting {setting!r}", hint=hint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return cast(nn.Module, loss(embedding_size, identities, **settings))
