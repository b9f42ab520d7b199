"""Triplet: crops of one identity must be closer than crops of others. There is no classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from cosface_cli.losses.normalised import require
from cosface_cli.losses.pairs import mean_where, same_identity, squared_distances


class Triplet(nn.Module):
    """The triplet loss with semi-hard negatives (Schroff 2015 Eq. 3-4), over unit embeddings.

    L = mean over pairs (a, p) of one identity of max(0, |a - p|^2 - |a - n|^2 + alpha)
    n: the nearest of another identity with |a - n|^2 > |a - p|^2; where all are nearer, the farthest

    alpha: margin in squared distance, above 0, below 4. There is no classifier: only the network has parameters,
    and weight, scores and target_cosines are None. A batch without two crops of one identity, or of one identity only,
    has loss 0.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"alpha": 0.2}
    EQUATION: ClassVar[str] = (
        "mean_{a,p} max(0, |a - p|^2 - |a - n|^2 + alpha), n the nearest negative beyond p, a, p, n of unit length"
    )
    SOURCE: ClassVar[str] = "Schroff 2015, arXiv 1503.03832, Eq. 3-4"
    SHARDABLE: ClassVar[bool] = False
    PAIRS: ClassVar[bool] = True
    MARGIN_COS: ClassVar[str | None] = None

    def __init__(self, embedding_size: int, identities: int, alpha: float = DEFAULTS["alpha"]) -> None:
        super().__init__()
        require(0 < alpha < 4, "alpha must be above 0 and below 4")
        self.alpha = alpha
        self.weight = None

    @staticmethod
    def margin_at_right_angle(**options: float) -> float | None:
        """None: the first loss cannot be estimated."""
        return None

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The mean loss () of embeddings (B, D) with labels (B,) int64."""
        squared = squared_distances(embeddings)  # (B, B), row a
        positive = same_identity(labels)  # (B, B), columns p
        negative = labels[:, None] != labels[None, :]  # (B, B), columns n
        count = negative.sum(dim=1, keepdim=True)  # (B, 1)
        ranked, order = squared.detach().masked_fill(~negative, torch.inf).sort(dim=1)  # negatives first, by distance
        beyond = torch.searchsorted(ranked, squared.detach().contiguous(), right=True)  # (B, B), for each p
        chosen = order.gather(1, torch.minimum(beyond, (count - 1).clamp_min(0)))  # (B, B), n
        loss = (squared - squared.gather(1, chosen) + self.alpha).clamp_min(0)  # (B, B)
        return mean_where(loss, positive & (count > 0))

    def scores(self, embeddings: Tensor) -> None:
        """None: there is no classifier."""
        return None

    def target_cosines(self, embeddings: Tensor, labels: Tensor) -> None:
        """None: there are no class weights."""
        return None

    def measures(self) -> Mapping[str, float]:
        """No values."""
        return {}
