"""MagFace: the margin grows with the length of the embedding, so that the length becomes a measure of quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from cosface_cli.losses import normalised
from cosface_cli.losses.angular_margins import cos_of_sum
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require, with_targets


class MagFace(ClassifierHead):
    """The magnitude-aware margin loss (Meng 2021, section 3).

    L = mean of -log( e^{s f_y} / (e^{s f_y} + sum_{j != y} e^{s cos_j}) ) + lambda_g g(a),  f_y = cos(theta_y + m(a))
    m(a) = (u_m - l_m) / (u_a - l_a) (a - l_a) + l_m,  g(a) = 1/a + a/u_a^2,  a = |x| clamped to l_a..u_a

    s: scale, above 0; l_a, u_a: range of lengths, 0 < l_a < u_a; l_m, u_m: of margins in radians, 0 <= l_m <= u_m <=
    pi/2; lambda_g: weight of the regulariser, 0 or more. Defaults as the authors published. Outside of its range a
    length has no gradient of g, as in their code: watch `length` in the log.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {
        "s": 64.0,
        "l_a": 10.0,
        "u_a": 110.0,
        "l_m": 0.45,
        "u_m": 0.8,
        "lambda_g": 35.0,
    }
    EQUATION: ClassVar[str] = (
        "-log( e^{s cos(theta_y + m(a))} / (e^{s cos(theta_y + m(a))} + sum_{j!=y} e^{s cos_j}) ) + lambda_g g(a),"
        " a = |x| in l_a..u_a, m(a) = (u_m - l_m)/(u_a - l_a) (a - l_a) + l_m, g(a) = 1/a + a/u_a^2"
    )
    SOURCE: ClassVar[str] = "Meng 2021, arXiv 2103.06627, section 3"

    length: Tensor

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        s: float = DEFAULTS["s"],
        l_a: float = DEFAULTS["l_a"],
        u_a: float = DEFAULTS["u_a"],
        l_m: float = DEFAULTS["l_m"],
        u_m: float = DEFAULTS["u_m"],
        lambda_g: float = DEFAULTS["lambda_g"],
    ) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0 and lambda_g >= 0, "s must be above 0, lambda_g 0 or more")
        require(0 < l_a < u_a, "l_a must be above 0 and below u_a")
        require(0 <= l_m <= u_m <= 1.57, "l_m and u_m must be rising angles of 0 to 1.57")
        self.s, self.l_a, self.u_a, self.l_m, self.u_m, self.lambda_g = s, l_a, u_a, l_m, u_m, lambda_g
        self.register_buffer("length", torch.zeros(()))  # mean of the last batch

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s cos(theta_y + m(a)), s cos_j."""
        if self.training:
            self.length.copy_(lengths.detach().mean())
        a = lengths.clamp(self.l_a, self.u_a)  # (B,)
        m = (self.u_m - self.l_m) / (self.u_a - self.l_a) * (a - self.l_a) + self.l_m  # (B,)
        return self.s * with_targets(similarities, labels, cos_of_sum(target, m))

    def penalty(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """lambda_g times the mean of g(a)."""
        a = normalised.lengths(embeddings).clamp(self.l_a, self.u_a)  # (B,)
        return self.lambda_g * (1 / a + a / self.u_a**2).mean()

    def measures(self) -> Mapping[str, float]:
        """Mean length of the last batch's embeddings."""
        return {"length": float(self.length)}
