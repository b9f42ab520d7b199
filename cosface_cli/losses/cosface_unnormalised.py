"""CosFace without normalised features: the baseline of the paper's Table 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from cosface_cli.losses import normalised
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require, with_targets


class CosFaceUnnormalised(ClassifierHead):
    """The large margin cosine loss with |x| in the place of s (Wang 2018, section 3.3; Table 1, normalisation: no).

    L = mean of -log( e^{|x| (cos_y - m)} / (e^{|x| (cos_y - m)} + sum_{j != y} e^{|x| cos_j}) )

    m: margin in cosine, 0 up to the bound of Eq. 7. While cos_y - m is below the other cosines, a shorter x costs less:
    so the paper begins it with the weights of a softmax training.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"m": 0.35}
    EQUATION: ClassVar[str] = "-log( e^{|x| (cos_y - m)} / (e^{|x| (cos_y - m)} + sum_{j!=y} e^{|x| cos_j}) )"
    SOURCE: ClassVar[str] = "Wang 2018, arXiv 1801.09414, section 3.3, Table 1"
    MARGIN_COS: ClassVar[str | None] = "m"

    def __init__(self, embedding_size: int, identities: int, m: float = DEFAULTS["m"]) -> None:
        super().__init__(embedding_size, identities)
        require(m >= 0, "m must be 0 or more")
        self.m = m

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """|x| (cos_y - m), |x| cos_j."""
        return lengths[:, None] * with_targets(similarities, labels, target - self.m)

    def scores(self, embeddings: Tensor) -> Tensor:
        """|x| cos_j, (B, C)."""
        return normalised.lengths(embeddings)[:, None] * self.similarities(embeddings)
