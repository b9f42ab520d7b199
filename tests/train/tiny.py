"""Backbones that train in milliseconds: "tiny" has all that resuming has to restore (batch norm, PReLU, a linear
layer), "plain" is without batch norm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import nn

from cosface_cli.backbones import BACKBONES, Backbone
from cosface_cli.registry import Row


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
    """Without batch norm: a crop's embedding does not depend on its batch."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=7), nn.PReLU(8), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, embedding_size)
    )


PLAIN = Backbone(plain, template="arcface", embedding_size=32)


@contextmanager
def added_backbones(*names: str) -> Iterator[None]:
    """Backbones of this file in the table for a while, in this process."""
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(BACKBONES.with_row(Row(name, f"tests.train.tiny:{name.upper()}", "for tests")))
        yield
