"""The base of all losses with a classifier: class weights, similarities, cross entropy over logits with a margin."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.losses.normalised import class_weights, cosines, full_precision, lengths, without_autocast


class ClassifierHead(nn.Module):
    """Class weights (C, D) and the loss over their cosines. A subclass writes its margin.

    L = mean of -log softmax(margined(cos))_y + penalty
    """

    SHARDABLE: ClassVar[bool] = True
    PAIRS: ClassVar[bool] = False
    MARGIN_COS: ClassVar[str | None] = None
    s: float = 1.0  # scale of scores()

    def __init__(self, embedding_size: int, identities: int) -> None:
        super().__init__()
        self.weight = class_weights(identities, embedding_size)  # (C, D)

    @staticmethod
    def margin_at_right_angle(**options: float) -> float | None:
        """None: the first loss cannot be estimated."""
        return None

    @abstractmethod
    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """The logits (B, C) to train on; see losses.Classifier."""

    def similarities(self, embeddings: Tensor, rows: Tensor | None = None) -> Tensor:
        """cos_j (B, C)."""
        return cosines(embeddings, self.weight if rows is None else self.weight[rows])

    def penalty(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """0: there is no penalty."""
        return embeddings.new_zeros(())

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean loss () of embeddings (B, D) with labels (B,) int64 in 0..C-1."""
        with without_autocast(embeddings):
            x = full_precision(embeddings)  # (B, D)
            similarities = self.similarities(x)  # (B, C)
            target = similarities.gather(1, labels[:, None])[:, 0]  # (B,)
            logits = self.margined(similarities, target, labels, lengths(x))  # (B, C)
            return F.cross_entropy(logits, labels) + self.penalty(x, labels)

    def scores(self, embeddings: Tensor) -> Tensor:
        """s times the similarities, (B, C): the logits without the margin."""
        return self.s * self.similarities(embeddings)

    def target_cosines(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """cos_y, (B,)."""
        with without_autocast(embeddings):
            x = full_precision(embeddings)
            return F.cosine_similarity(x, self.weight[labels].to(x.dtype))

    def measures(self) -> Mapping[str, float]:
        """No values."""
        return {}


class InnerProductHead(ClassifierHead):
    """Softmax over W_j . x + b_j, whose vectors keep their lengths."""

    def __init__(self, embedding_size: int, identities: int) -> None:
        super().__init__(embedding_size, identities)
        self.bias = nn.Parameter(torch.zeros(identities))  # (C,)

    def similarities(self, embeddings: Tensor, rows: Tensor | None = None) -> Tensor:
        """W_j . x + b_j, (B, C), never in half precision."""
        with without_autocast(embeddings):
            x = full_precision(embeddings)
            weight, bias = (self.weight, self.bias) if rows is None else (self.weight[rows], self.bias[rows])
            return F.linear(x, weight.to(x.dtype), bias.to(x.dtype))

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """The similarities: there is no margin."""
        return similarities
