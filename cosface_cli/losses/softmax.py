"""Softmax: the plain classifier that the paper measures against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.losses.normalised import class_weights, full_precision


class Softmax(nn.Module):
    """Softmax cross-entropy with bias (Wang 2018 Eq. 1).

    L = mean of -log( e^{W_y . x + b_y} / sum_j e^{W_j . x + b_j} )
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {}

    def __init__(self, embedding_size: int, identities: int) -> None:
        super().__init__()
        self.weight = class_weights(identities, embedding_size)  # (C, D)
        self.bias = nn.Parameter(torch.zeros(identities))  # (C,)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean loss () of embeddings (B, D) with labels (B,) int64 in 0..C-1."""
        return F.cross_entropy(self.scores(embeddings), labels)

    def scores(self, embeddings: Tensor) -> Tensor:
        """W_j . x + b_j, (B, C), never in half precision."""
        with torch.autocast(embeddings.device.type, enabled=False):
            x = full_precision(embeddings)
            return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))
