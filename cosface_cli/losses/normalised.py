"""Functions of several losses: full precision, cosines with class weights, where the margin is put."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cosface_cli.errors import CosfaceError


def class_weights(identities: int, embedding_size: int) -> nn.Parameter:
    """Class weights (C, D) drawn from a Gaussian: uniform directions, lengths about 1."""
    return nn.Parameter(torch.randn(identities, embedding_size).div_(embedding_size**0.5))


def full_precision(values: Tensor) -> Tensor:
    """Half precision as float32, other types unchanged. In half precision logits at s = 64 have errors up to 1/32."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def without_autocast(values: Tensor) -> torch.autocast:
    """A context in which nothing is rounded to half precision on the device of values."""
    return torch.autocast(values.device.type, enabled=False)


def cosines(embeddings: Tensor, weight: Tensor) -> Tensor:
    """cos_j = W_j . x / (|W_j| |x|), Wang 2018 Eq. 2, in -1..1 and never in half precision.

    embeddings: (B, D); weight: (C, D). Returns (B, C). Products that rounding makes larger than 1 are clamped.
    """
    with without_autocast(embeddings):
        x = F.normalize(full_precision(embeddings))  # (B, D)
        w = F.normalize(full_precision(weight)).to(x.dtype)  # (C, D)
        return (x @ w.T).clamp(-1.0, 1.0)  # (B, C)


def lengths(embeddings: Tensor) -> Tensor:
    """|x|, (B,), of embeddings (B, D), never in half precision."""
    with without_autocast(embeddings):
        norms: Tensor = torch.linalg.vector_norm(full_precision(embeddings), dim=1)
        return norms


def with_targets(similarities: Tensor, labels: Tensor, values: Tensor) -> Tensor:
    """A copy of similarities (B, C) with values (B,) in the columns labels (B,). A label of -1 changes nothing."""
    column = labels.clamp_min(0)[:, None]  # (B, 1)
    local = (labels >= 0)[:, None]  # (B, 1)
    return similarities.scatter(1, column, torch.where(local, values[:, None], similarities.gather(1, column)))


def require(holds: bool, problem: str) -> None:
    """Raises CosfaceError(problem) for a setting out of its range."""
    if not holds:
        raise CosfaceError(problem)
