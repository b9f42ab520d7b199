"""SphereFace: the margin multiplies the angle to unit class weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from cosface_cli.losses import normalised
from cosface_cli.losses.angular_margins import psi_of_multiple
from cosface_cli.losses.annealing import Annealing, whole
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import with_targets


class SphereFace(ClassifierHead):
    """A-Softmax, the angular softmax loss (Liu 2017 Eq. 7).

    L = mean of -log( e^{f_y} / (e^{f_y} + sum_{j != y} e^{|x| cos_j}) )
    f_y = |x| (lambda cos_y + psi(theta_y)) / (1 + lambda)
    psi(theta) = (-1)^k cos(m theta) - 2k for theta in [k pi/m, (k+1) pi/m]

    m: factor of the angle, whole, 1 or more; lambda_min, lambda_max, gamma, power: see Annealing, by default as the
    authors published. The gradient is the true one; theirs was rescaled.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {
        "m": 4,
        "lambda_min": 5.0,
        "lambda_max": 1000.0,
        "gamma": 0.12,
        "power": 1.0,
    }
    EQUATION: ClassVar[str] = (
        "-log( e^{f_y} / (e^{f_y} + sum_{j!=y} e^{|x| cos_j}) ), f_y = |x| (lambda cos_y + psi) / (1 + lambda),"
        " psi = (-1)^k cos(m theta_y) - 2k"
    )
    SOURCE: ClassVar[str] = "Liu 2017, arXiv 1704.08063, Eq. 7"

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        m: float = DEFAULTS["m"],
        lambda_min: float = DEFAULTS["lambda_min"],
        lambda_max: float = DEFAULTS["lambda_max"],
        gamma: float = DEFAULTS["gamma"],
        power: float = DEFAULTS["power"],
    ) -> None:
        super().__init__(embedding_size, identities)
        self.m = whole(m)
        self.annealing = Annealing(lambda_min, lambda_max, gamma, power)

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """f_y, |x| cos_j."""
        margin_cosine = self.annealing(target, psi_of_multiple(target, self.m))  # (B,)
        return lengths[:, None] * with_targets(similarities, labels, margin_cosine)

    def scores(self, embeddings: Tensor) -> Tensor:
        """|x| cos_j, (B, C)."""
        return normalised.lengths(embeddings)[:, None] * self.similarities(embeddings)

    def measures(self) -> Mapping[str, float]:
        """lambda."""
        return {"lambda": float(self.annealing.value())}
