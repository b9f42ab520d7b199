"""CurricularFace: hard negatives get more weight as training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from cosface_cli.losses.angular_margins import cos_of_sum
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require, with_targets


class CurricularFace(ClassifierHead):
    """The adaptive curriculum learning loss (Huang 2020, section 3).

    L = mean of -log( e^{s T_y} / (e^{s T_y} + sum_{j != y} e^{s N_j}) ), T_y = cos(theta_y + m)
    N_j = cos_j where T_y >= cos_j (easy), else cos_j (t + cos_j) (hard)
    t <- alpha t + (1 - alpha) mean of cos_y, in each step, beginning with 0

    s: scale, above 0; m: margin in radians, 0 to pi/2 (past pi: see cos_of_sum); alpha: momentum of t, 0..1. t is a
    buffer and a constant to the gradient.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0, "m": 0.5, "alpha": 0.99}
    EQUATION: ClassVar[str] = (
        "-log( e^{s T_y} / (e^{s T_y} + sum_{j!=y} e^{s N_j}) ), T_y = cos(theta_y + m),"
        " N_j = cos_j if T_y >= cos_j else cos_j (t + cos_j), t the running mean of cos_y"
    )
    SOURCE: ClassVar[str] = "Huang 2020, arXiv 2004.00288, section 3"

    t: Tensor

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        s: float = DEFAULTS["s"],
        m: float = DEFAULTS["m"],
        alpha: float = DEFAULTS["alpha"],
    ) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0 and 0 <= m <= 1.57, "s must be above 0, m an angle of 0 to 1.57")
        require(0 <= alpha <= 1, "alpha must be in 0..1")
        self.s, self.m, self.alpha = s, m, alpha
        self.register_buffer("t", torch.zeros(()))

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s T_y, s N_j."""
        if self.training:
            self.t.lerp_(target.detach().mean().to(self.t.dtype), 1 - self.alpha)
        margin_cosine = cos_of_sum(target, self.m)  # (B,)
        t = self.t.clone()  # the gradient's own: the next step changes the buffer
        hard = similarities > margin_cosine[:, None]  # (B, C)
        others = torch.where(hard, similarities * (t + similarities), similarities)
        return self.s * with_targets(others, labels, margin_cosine)

    def measures(self) -> Mapping[str, float]:
        """t."""
        return {"t": float(self.t)}
