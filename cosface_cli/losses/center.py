"""Center loss: softmax, and the distance between each embedding and the centre of its identity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from cosface_cli.losses.classifier import InnerProductHead
from cosface_cli.losses.normalised import class_weights, full_precision, require


class Center(InnerProductHead):
    """Softmax and center loss together (Wen 2016 Eq. 2-5).

    L = mean of -log( e^{W_y . x + b_y} / sum_j e^{W_j . x + b_j} ) + lambda_c / 2 |x - c_y|^2
    c_j <- c_j - alpha sum_{y = j} (c_j - x) / (1 + n_j), after each step, n_j the crops of j in the batch

    lambda_c: weight, 0 or more; alpha: rate of the centres, 0..1. The centres (C, D) are a buffer that only this update
    moves, as in the paper, not the optimizer; they start like class weights. Not shardable: each process needs all.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"lambda_c": 0.003, "alpha": 0.5}
    EQUATION: ClassVar[str] = (
        "-log( e^{W_y.x + b_y} / sum_j e^{W_j.x + b_j} ) + lambda_c/2 |x - c_y|^2,"
        " c_j <- c_j - alpha sum_{y=j} (c_j - x) / (1 + n_j)"
    )
    SOURCE: ClassVar[str] = "Wen 2016, ECCV, Eq. 2-5"
    SHARDABLE: ClassVar[bool] = False

    centres: Tensor

    def __init__(
        self,
        embedding_size: int,
        identities: int,
        lambda_c: float = DEFAULTS["lambda_c"],
        alpha: float = DEFAULTS["alpha"],
    ) -> None:
        super().__init__(embedding_size, identities)
        require(lambda_c >= 0, "lambda_c must be 0 or more")
        require(0 <= alpha <= 1, "alpha must be in 0..1")
        self.lambda_c, self.alpha = lambda_c, alpha
        self.register_buffer("centres", class_weights(identities, embedding_size).detach())

    def penalty(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """lambda_c / 2 times the mean of |x - c_y|^2; in training the centres move after it."""
        x = full_precision(embeddings)  # (B, D)
        apart = x - self.centres[labels].to(x.dtype)  # (B, D)
        if self.training:
            self._move(apart.detach().to(self.centres.dtype), labels)
        return self.lambda_c / 2 * apart.square().sum(dim=1).mean()

    def _move(self, apart: Tensor, labels: Tensor) -> None:
        """Move the centres towards the batch's embeddings. apart: (B, D) x - c_y."""
        classes, place, count = torch.unique(labels, return_inverse=True, return_counts=True)  # (U,), (B,), (U,)
        total = apart.new_zeros(len(classes), apart.shape[1]).index_add_(0, place, apart)  # (U, D)
        self.centres.index_add_(0, classes, self.alpha * total / (1 + count)[:, None])
