"""NSL: softmax over cosines, the loss that CosFace adds its margin to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.losses.normalised import class_weights, cosines


class NSL(nn.Module):
    """The normalised softmax loss (Wang 2018 Eq. 3).

    L = mean of -log( e^{s cos_y} / sum_j e^{s cos_j} )

    s: scale, above 0.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0}

    def __init__(self, embedding_size: int, identities: int, s: float = DEFAULTS["s"]) -> None:
        super().__init__()
        self.s = s
        self.weight = class_weights(identities, embedding_size)  # (C, D)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean loss () of embeddings (B, D) with labels (B,) int64 in 0..C-1."""
        return F.cross_entropy(self.scores(embeddings), labels)

    def scores(self, embeddings: Tensor) -> Tensor:
        """s cos_j, (B, C)."""
        return self.s * cosines(embeddings, self.weight)
