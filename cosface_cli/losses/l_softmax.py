"""L-Softmax: the margin multiplies the angle; embeddings and class weights are not normalised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from cosface_cli.losses.angular_margins import psi_of_multiple
from cosface_cli.losses.annealing import Annealing, whole
from cosface_cli.losses.classifier import ClassifierHead
from cosface_cli.losses.normalised import full_precision, with_targets, without_autocast


class LSoftmax(ClassifierHead):
    """The large-margin softmax loss (Liu 2016 Eq. 4-6), without bias.

    L = mean of -log( e^{f_y} / (e^{f_y} + sum_{j != y} e^{|W_j||x| cos_j}) )
    f_y = |W_y||x| (lambda cos_y + psi(theta_y)) / (1 + lambda), psi(theta) = (-1)^k cos(m theta) - 2k

    m: factor of the angle, whole, 1 or more; lambda_min, lambda_max, gamma, power: see Annealing, by default as the
    authors published for MNIST. Not shardable: |W_y| is needed where the margin is applied.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {
        "m": 4,
        "lambda_min": 0.0,
        "lambda_max": 1000.0,
        "gamma": 0.000025,
        "power": 35.0,
    }
    EQUATION: ClassVar[str] = (
        "-log( e^{f_y} / (e^{f_y} + sum_{j!=y} e^{|W_j||x| cos_j}) ), "
        "f_y = |W_y||x| (lambda cos_y + psi) / (1 + lambda), psi = (-1)^k cos(m theta_y) - 2k"
    )
    SOURCE: ClassVar[str] = "Liu 2016, arXiv 1612.02295, Eq. 4-6"
    SHARDABLE: ClassVar[bool] = False

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
        """f_y, |W_j||x| cos_j."""
        factors = lengths[:, None] * self._class_lengths(similarities.dtype)  # (B, C)
        return factors * with_targets(similarities, labels, self.annealing(target, psi_of_multiple(target, self.m)))

    def scores(self, embeddings: Tensor) -> Tensor:
        """W_j . x, (B, C)."""
        with without_autocast(embeddings):
            x = full_precision(embeddings)
            return x @ self.weight.to(x.dtype).T

    def measures(self) -> Mapping[str, float]:
        """lambda."""
        return {"lambda": float(self.annealing.value())}

    def _class_lengths(self, dtype: torch.dtype) -> Tensor:
        found: Tensor = torch.linalg.vector_norm(self.weight.to(dtype), dim=1)  # (C,)
        return found
