"""AdaFace: the margin adapts to the quality of the crop, measured by the length of the embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from cosface_cli.losses.angular_margins import angles, psi
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require, with_targets

_SHORTEST, _LONGEST = 0.001, 100.0  # range of the lengths, from the authors' code
_EPSILON = 0.001  # added to the deviation


class AdaFace(ClassifierHead):
    """The quality adaptive margin loss (Kim 2022, section 3).

    L = mean of -log( e^{s f_y} / (e^{s f_y} + sum_{j != y} e^{s cos_j}) ), f_y = cos(theta_y + g_angle) - g_add
    g_angle = -m z, g_add = m z + m, z = clip( h (|x| - mu) / sigma, -1, 1 )
    mu <- alpha mu + (1 - alpha) mean of |x|, sigma likewise with the standard deviation, in each step

    s: scale, above 0; m: margin, 0 or more; h: concentration, 0 or more; alpha: momentum, 0..1. mu and sigma are
    buffers that start at 20 and 100, as in the authors' code; z has no gradient. theta_y + g_angle is at least 0; for
    more than pi see psi.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0, "m": 0.4, "h": 0.333, "alpha": 0.99}
    EQUATION: ClassVar[str] = (
        "-log( e^{s f_y} / (e^{s f_y} + sum_{j!=y} e^{s cos_j}) ), f_y = cos(theta_y - m z) - (m z + m),"
        " z = clip(h (|x| - mu) / sigma, -1, 1)"
    )
    SOURCE: ClassVar[str] = "Kim 2022, arXiv 2204.00964, section 3"

    mu: Tensor
    sigma: Tensor

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        s: float = DEFAULTS["s"],
        m: float = DEFAULTS["m"],
        h: float = DEFAULTS["h"],
        alpha: float = DEFAULTS["alpha"],
    ) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0 and m >= 0 and h >= 0, "s must be above 0, m and h 0 or more")
        require(0 <= alpha <= 1, "alpha must be in 0..1")
        self.s, self.m, self.h, self.alpha = s, m, h, alpha
        self.register_buffer("mu", torch.tensor(20.0))
        self.register_buffer("sigma", torch.tensor(100.0))

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s f_y, s cos_j."""
        a = lengths.detach().clamp(_SHORTEST, _LONGEST)  # (B,)
        if self.training and len(a) > 1:  # a single one has no deviation
            self.mu.lerp_(a.mean().to(self.mu.dtype), 1 - self.alpha)
            self.sigma.lerp_(a.std().to(self.sigma.dtype), 1 - self.alpha)
        z = (self.h * (a - self.mu) / (self.sigma + _EPSILON)).clamp(-1, 1)  # (B,)
        margin_cosine = psi((angles(target) - self.m * z).clamp_min(0)) - self.m * (z + 1)  # (B,)
        return self.s * with_targets(similarities, labels, margin_cosine)

    def measures(self) -> Mapping[str, float]:
        """Running mean and deviation of the lengths."""
        return {"length_mean": float(self.mu), "length_deviation": float(self.sigma)}
