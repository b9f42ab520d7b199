"""A backbone that trains in milliseconds, with all that resuming has to keep: batch norm, PReLU, a linear layer."""

from __future__ import annotations

from torch import nn

from cosface_cli.backbones import Backbone


def tiny(embedding_size: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=7, bias=False),
        nn.BatchNorm2d(8),
        nn.PReLU(8),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(8 * 16, embedding_size),
        nn.BatchNorm1d(embedding_size),
    )


TINY = Backbone(tiny, template="arcface", embedding_size=32)


def plain(embedding_size: int) -> nn.Module:
    """Without batch norm: a crop's embedding does not hang on its batch."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=7), nn.PReLU(8), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, embedding_size)
    )


PLAIN = Backbone(plain, template="arcface", embedding_size=32)
