"""Contrastive: softmax, and the distances within pairs of crops of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from cosface_cli.losses.classifier import InnerProductHead
from cosface_cli.losses.normalised import require
from cosface_cli.losses.pairs import mean_where, same_identity, squared_distances


class Contrastive(InnerProductHead):
    """Softmax and contrastive loss together: identification and verification signal (Sun 2014 Eq. 2-3, Hadsell 2006).

    L = mean of -log( e^{W_y . x + b_y} / sum_j e^{W_j . x + b_j} )
        + lambda_v (mean over pairs of one identity of d^2 / 2 + mean over pairs of two of max(0, m - d)^2 / 2)
    d = |x_i / |x_i| - x_j / |x_j||

    m: distance from which pairs of two identities have no loss, above 0, at most 2; lambda_v: weight of the pairs, 0 or
    more. Distances are between unit embeddings, as in later comparisons. Both kinds of pairs have the same weight, for
    any numbers of pairs: so lambda_v is 1, not Sun's 0.05. Not shardable: it compares whole embeddings.
    """

    DEFAULTS: ClassVar[Mapping[str, float]] = {"m": 1.0, "lambda_v": 1.0}
    EQUATION: ClassVar[str] = (
        "-log( e^{W_y.x + b_y} / sum_j e^{W_j.x + b_j} )"
        " + lambda_v (mean_{same} d^2/2 + mean_{different} max(0, m - d)^2/2), d between unit embeddings"
    )
    SOURCE: ClassVar[str] = "Sun 2014, arXiv 1406.4773, Eq. 2-3; Hadsell 2006"
    SHARDABLE: ClassVar[bool] = False
    PAIRS: ClassVar[bool] = True

    def __init__(
        self, embedding_size: int, identities: int, m: float = DEFAULTS["m"], lambda_v: float = DEFAULTS["lambda_v"]
    ) -> None:
        super().__init__(embedding_size, identities)
        require(0 < m <= 2, "m must be a distance on the unit sphere, above 0 and at most 2")
        require(lambda_v >= 0, "lambda_v must be 0 or more")
        self.m, self.lambda_v = m, lambda_v

    def penalty(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """lambda_v times the contrastive loss of all pairs in the batch."""
        squared = squared_distances(embeddings)  # (B, B)
        same = same_identity(labels)  # (B, B)
        distance = squared.clamp_min(torch.finfo(squared.dtype).eps).sqrt()  # finite slope at 0
        near = mean_where(squared, same)
        apart = mean_where((self.m - distance).clamp_min(0).square(), labels[:, None] != labels[None, :])
        return self.lambda_v * (near + apart) / 2
