"""The combined margin: SphereFace's, ArcFace's and CosFace's in one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from cosface_cli.losses.angular_margins import angles, psi
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require, with_targets


class Combined(ClassifierHead):
    """The combined margin loss (Deng 2019 Eq. 4).

    L = mean of -log( e^{s f_y} / (e^{s f_y} + sum_{j != y} e^{s cos_j}) ), f_y = cos(m1 theta_y + m2) - m3

    s: scale, above 0; m1: factor of the angle, above 0; m2: added to it, radians, 0 or more; m3: margin in cosine, 0
    or more. Where the angle passes pi its cosine goes on falling: see psi. (1, 0, m) is CosFace; (m, 0, 0) with a
    whole m A-Softmax with normalised features and lambda 0; (1, m, 0) ArcFace as far as theta_y + m <= pi.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0, "m1": 1.0, "m2": 0.3, "m3": 0.2}
    EQUATION: ClassVar[str] = (
        "-log( e^{s f_y} / (e^{s f_y} + sum_{j!=y} e^{s cos_j}) ), f_y = cos(m1 theta_y + m2) - m3"
    )
    SOURCE: ClassVar[str] = "Deng 2019, arXiv 1801.07698, Eq. 4"
    MARGIN_COS: ClassVar[str | None] = "m3"

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        s: float = DEFAULTS["s"],
        m1: float = DEFAULTS["m1"],
        m2: float = DEFAULTS["m2"],
        m3: float = DEFAULTS["m3"],
    ) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0 and m1 > 0, "s and m1 must be above 0")
        require(m2 >= 0 and m3 >= 0, "m2 and m3 must be 0 or more")
        self.s, self.m1, self.m2, self.m3 = s, m1, m2, m3

    @staticmethod
    def margin_at_right_angle(**options: float) -> float:
        """m3 - psi(m1 pi/2 + m2)."""
        return options["m3"] - float(psi(torch.tensor(options["m1"] * math.pi / 2 + options["m2"])))

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s (cos(m1 theta_y + m2) - m3), s cos_j."""
        return self.s * with_targets(similarities, labels, psi(self.m1 * angles(target) + self.m2) - self.m3)
