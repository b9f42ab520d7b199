"""SphereFace with normalised features: A-Softmax-NormFea of the paper's Table 2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from cosface_cli.losses.angular_margins import psi_of_multiple
from cosface_cli.losses.annealing import Annealing, whole
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import require, with_targets


class SphereFaceNorm(ClassifierHead):
    """A-Softmax (Liu 2017 Eq. 7) with |x| = s (Wang 2018, Table 2: A-Softmax-NormFea).

    L = mean of -log( e^{f_y} / (e^{f_y} + sum_{j != y} e^{s cos_j}) )
    f_y = s (lambda cos_y + psi(theta_y)) / (1 + lambda)
    psi(theta) = (-1)^k cos(m theta) - 2k for theta in [k pi/m, (k+1) pi/m]

    s: scale, above 0; m: factor of the angle, whole, 1 or more; lambda_min, lambda_max, gamma, power: see Annealing,
    by default SphereFace's.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {
        "s": 64.0,
        "m": 4,
        "lambda_min": 5.0,
        "lambda_max": 1000.0,
        "gamma": 0.12,
        "power": 1.0,
    }
    EQUATION: ClassVar[str] = (
        "-log( e^{f_y} / (e^{f_y} + sum_{j!=y} e^{s cos_j}) ), f_y = s (lambda cos_y + psi) / (1 + lambda),"
        " psi = (-1)^k cos(m theta_y) - 2k"
    )
    SOURCE: ClassVar[str] = "Liu 2017, arXiv 1704.08063, Eq. 7; Wang 2018, arXiv 1801.09414, Table 2"

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        s: float = DEFAULTS["s"],
        m: float = DEFAULTS["m"],
        lambda_min: float = DEFAULTS["lambda_min"],
        lambda_max: float = DEFAULTS["lambda_max"],
        gamma: float = DEFAULTS["gamma"],
        power: float = DEFAULTS["power"],
    ) -> None:
        super().__init__(embedding_size, identities)
        require(s > 0, "s must be above 0")
        self.s, self.m = s, whole(m)
        self.annealing = Annealing(lambda_min, lambda_max, gamma, power)

    def margined(self, similarities: Tensor, target: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
        """f_y, s cos_j."""
        return self.s * with_targets(similarities, labels, self.annealing(target, psi_of_multiple(target, self.m)))

    def measures(self) -> Mapping[str, float]:
        """lambda."""
        return {"lambda": float(self.annealing.value())}
