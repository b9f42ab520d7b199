"""Sub-center ArcFace: several centres for each identity, so that mislabelled crops can have one of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.losses.angular_margins import cos_of_sum
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import (
    class_weights,
    cosines,
    full_precision,
    require,
    with_targets,
    without_autocast,
)


class SubcenterArcFace(ClassifierHead):
    """ArcFace over the nearest of k centres (Deng 2020, section 3).

    cos_j = max over k of cos(W_jk, x)
    L = mean of -log( e^{s cos(theta_y + m)} / (e^{s cos(theta_y + m)} + sum_{j != y} e^{s cos_j}) )

    s: scale, above 0; m: margin in radians, 0 to pi/2; k: centres per identity, whole, 1 or more. weight: (C, K, D).
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0, "m": 0.5, "k": 3}
    EQUATION: ClassVar[str] = (
        "-log( e^{s cos(theta_y + m)} / (e^{s cos(theta_y + m)} + sum_{j!=y} e^{s cos_j}) ), cos_j = max_k cos(W_jk, x)"
    )
    SOURCE: ClassVar[str] = "Deng 2020, ECCV, section 3"

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        s: float = DEFAULTS["s"],
        m: float = DEFAULTS["m"],
        k: float = DEFAULTS["k"],
    ) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0 and 0 <= m <= 1.57, "s must be above 0, m an angle of 0 to 1.57")
        require(k >= 1 and k == int(k), f"k must be a whole number of at least 1, got {k:g}")
        self.s, self.m = s, m
        centres = class_weights(identities * int(k), embedding_size)
        self.weight = nn.Parameter(centres.detach().view(identities, int(k), embedding_size))  # (C, K, D)

    def similarities(self, embeddings: Tensor, rows: Tensor | None = None) -> Tensor:
        """cos_j (B, C), with the nearest centre."""
        weight = self.weight if rows is None else self.weight[rows]
        every = cosines(embeddings, weight.flatten(0, 1))  # (B, C K)
        return every.view(len(every), *weight.shape[:2]).amax(dim=2)

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s cos(theta_y + m), s cos_j."""
        return self.s * with_targets(similarities, labels, cos_of_sum(target, self.m))

    def target_cosines(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """cos_y, (B,), with the nearest centre."""
        with without_autocast(embeddings):
            x = full_precision(embeddings)[:, None]  # (B, 1, D)
            return F.cosine_similarity(x, self.weight[labels].to(x.dtype), dim=2).amax(dim=1)
