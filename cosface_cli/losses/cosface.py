"""CosFace: the large margin cosine loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require, with_targets


class CosFace(ClassifierHead):
    """The large margin cosine loss (Wang 2018 Eq. 4-5).

    L = mean of -log( e^{s (cos_y - m)} / (e^{s (cos_y - m)} + sum_{j != y} e^{s cos_j}) )

    s: scale, above 0; m: margin in cosine, 0 up to the bound of Eq. 7.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0, "m": 0.35}
    EQUATION: ClassVar[str] = "-log( e^{s (cos_y - m)} / (e^{s (cos_y - m)} + sum_{j!=y} e^{s cos_j}) )"
    SOURCE: ClassVar[str] = "Wang 2018, arXiv 1801.09414, Eq. 4-5"
    MARGIN_COS: ClassVar[str | None] = "m"

    def __init__(
        self, embedding_size: int, identities: int, s: float = DEFAULTS["s"], m: float = DEFAULTS["m"]
    ) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0 and m >= 0, "s must be above 0, m 0 or more")
        self.s, self.m = s, m

    @staticmethod
    def margin_at_right_angle(**options: float) -> float:
        """m."""
        return options["m"]

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s (cos_y - m), s cos_j."""
        return self.s * with_targets(similarities, labels, target - self.m)
