"""ArcFace: the margin is added to the angle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from cosface_cli.losses.angular_margins import cos_of_sum
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require, with_targets


class ArcFace(ClassifierHead):
    """The additive angular margin loss (Deng 2019 Eq. 3).

    L = mean of -log( e^{s cos(theta_y + m)} / (e^{s cos(theta_y + m)} + sum_{j != y} e^{s cos_j}) )

    s: scale, above 0; m: margin in radians, 0 to pi/2. Where theta_y + m passes pi: see cos_of_sum.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0, "m": 0.5}
    EQUATION: ClassVar[str] = "-log( e^{s cos(theta_y + m)} / (e^{s cos(theta_y + m)} + sum_{j!=y} e^{s cos_j}) )"
    SOURCE: ClassVar[str] = "Deng 2019, arXiv 1801.07698, Eq. 3"

    def __init__(
        self, embedding_size: int, identities: int, s: float = DEFAULTS["s"], m: float = DEFAULTS["m"]
    ) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0 and 0 <= m <= 1.57, "s must be above 0, m an angle of 0 to 1.57")
        self.s, self.m = s, m

    @staticmethod
    def margin_at_right_angle(**options: float) -> float:
        """-cos(pi/2 + m)."""
        return math.sin(options["m"])

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s cos(theta_y + m), s cos_j."""
        return self.s * with_targets(similarities, labels, cos_of_sum(target, self.m))
