"""NSL: softmax over cosines, the loss that CosFace adds its margin to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require


class NSL(ClassifierHead):
    """The normalised softmax loss (Wang 2018 Eq. 3).

    L = mean of -log( e^{s cos_y} / sum_j e^{s cos_j} )

    s: scale, above 0.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0}
    EQUATION: ClassVar[str] = "-log( e^{s cos_y} / sum_j e^{s cos_j} )"
    SOURCE: ClassVar[str] = "Wang 2018, arXiv 1801.09414, Eq. 3"

    def __init__(self, embedding_size: int, identities: int, s: float = DEFAULTS["s"]) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0, "s must be above 0")
        self.s = s

    @staticmethod
    def margin_at_right_angle(**options: float) -> float:
        """0: there is no margin."""
        return 0.0

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s cos_j: there is no margin."""
        return self.s * similarities
