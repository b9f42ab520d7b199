"""ElasticFace: CosFace with a random margin for each crop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require, with_targets


class ElasticFace(ClassifierHead):
    """The elastic margin loss, ElasticFace-Cos (Boutros 2022, section 3).

    L = mean of -log( e^{s (cos_y - E)} / (e^{s (cos_y - E)} + sum_{j != y} e^{s cos_j}) ), E drawn from N(m, sigma)

    s: scale, above 0; m: mean margin in cosine, 0 or more; sigma: its standard deviation, 0 or more. The draws of a
    step come from torch's CPU generator, seeded with seed + iteration. Both are buffers, so a resumed run draws the
    same numbers. The seed is drawn from torch's generator when the loss is built.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"s": 64.0, "m": 0.35, "sigma": 0.05}
    EQUATION: ClassVar[str] = (
        "-log( e^{s (cos_y - E)} / (e^{s (cos_y - E)} + sum_{j!=y} e^{s cos_j}) ), E ~ N(m, sigma)"
    )
    SOURCE: ClassVar[str] = "Boutros 2022, arXiv 2109.09416, section 3 (ElasticFace-Cos)"
    MARGIN_COS: ClassVar[str | None] = "m"

    seed: Tensor
    iteration: Tensor

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        s: float = DEFAULTS["s"],
        m: float = DEFAULTS["m"],
        sigma: float = DEFAULTS["sigma"],
    ) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0 and m >= 0 and sigma >= 0, "s must be above 0, m and sigma 0 or more")
        self.s, self.m, self.sigma = s, m, sigma
        self.register_buffer("seed", torch.randint(2**62, ()))
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))

    @staticmethod
    def margin_at_right_angle(**options: float) -> float:
        """m, the mean margin."""
        return options["m"]

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """s (cos_y - E), s cos_j."""
        if self.training:
            self.iteration += 1
        generator = torch.Generator().manual_seed(int(self.seed) + int(self.iteration))
        drawn = torch.randn(len(target), generator=generator).to(target)  # (B,)
        return self.s * with_targets(similarities, labels, target - (self.m + self.sigma * drawn))
