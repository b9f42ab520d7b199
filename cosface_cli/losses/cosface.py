"""CosFace: the large margin cosine loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.losses.normalised import class_weights, cosines


class CosFace(nn.Module):
    """The large margin cosine loss (Wang 2018 Eq. 4-5).

    L = mean of -log( e^{s (cos_y - m)} / (e^{s (cos_y - m)} + sum_{j != y} e^{s cos_j}) )

    s: scale, above 0; m: margin in cosine, 0 up to the bound of Eq. 7.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0, "m": 0.35}

    def __init__(
        self, embedding_size: int, identities: int, s: float = DEFAULTS["s"], m: float = DEFAULTS["m"]
    ) -> None:
        super().__init__()
        self.s, self.m = s, m
        self.weight = class_weights(identities, embedding_size)  # (C, D)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean loss () of embeddings (B, D) with labels (B,) int64 in 0..C-1."""
        cos = cosines(embeddings, self.weight)  # (B, C)
        margin = torch.zeros_like(cos).scatter_(1, labels[:, None], self.m)  # (B, C)
        return F.cross_entropy(self.s * (cos - margin), labels)

    def scores(self, embeddings: Tensor) -> Tensor:
        """s cos_j (B, C): the logits without the margin."""
        return self.s * cosines(embeddings, self.weight)
