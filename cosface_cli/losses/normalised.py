"""What the cosine losses share: unit class weights, unit embeddings, the cosines between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def class_weights(identities: int, embedding_size: int) -> nn.Parameter:
    """Class weights (C, D) drawn from a Gaussian: every direction alike, length about 1."""
    return nn.Parameter(torch.randn(identities, embedding_size) / embedding_size**0.5)


def full_precision(values: Tensor) -> Tensor:
    """Half precision as float32: at s = 64 its logits would be off by up to 1/32. Other types as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def cosines(embeddings: Tensor, weight: Tensor) -> Tensor:
    """cos_j = W_j . x / (|W_j| |x|), Wang 2018 Eq. 2, in -1..1 and never in half precision.

    embeddings: (B, D); weight: (C, D). Returns (B, C). Rounding may carry a product over 1: it is clamped.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        x = F.normalize(full_precision(embeddings))  # (B, D)
        w = F.normalize(full_precision(weight)).to(x.dtype)  # (C, D)
        return (x @ w.T).clamp(-1.0, 1.0)  # (B, C)
