"""Losses: heads that classify identities. A new one is a file here and a row in LOSSES."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import torch


class Loss(Protocol):
    """A classifier head with its loss, a torch module built as Loss(embedding_size, identities, **settings).

    DEFAULTS: the settings it takes, with their values: s the scale of the cosines, m the margin in cosine.
    weight: (C, D) parameter, one row an identity.
    """

    DEFAULTS: ClassVar[Mapping[str, float]]
    weight: torch.nn.Parameter

    def __call__(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean loss () of embeddings (B, D) float with labels (B,) int64 in 0..C-1."""
        ...

    def scores(self, embeddings: torch.Tensor) -> torch.Tensor:
        """The logits (B, C) that decide the identity: without the margin."""
        ...


LOSSES = Table(
    "loss",
    Row("cosface", "cosface_cli.losses.cosface:CosFace", "large margin cosine loss, Wang 2018 Eq. 4-5"),
    Row("nsl", "cosface_cli.losses.nsl:NSL", "normalised softmax loss, Wang 2018 Eq. 3"),
    Row("softmax", "cosface_cli.losses.softmax:Softmax", "softmax cross-entropy with bias, Wang 2018 Eq. 1"),
)
