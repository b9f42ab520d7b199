"""Distances between the crops of a batch, for the losses over pairs and triplets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from cosface_cli.losses.normalised import full_precision, without_autocast


def squared_distances(embeddings: Tensor) -> Tensor:
    """|x_i - x_j|^2 of unit embeddings, (B, B) in 0..4, of embeddings (B, D); never in half precision."""
    with without_autocast(embeddings):
        x = F.normalize(full_precision(embeddings))  # (B, D)
        return 2 - 2 * (x @ x.T).clamp(-1.0, 1.0)  # (B, B)


def same_identity(labels: Tensor) -> Tensor:
    """Which pairs (B, B) are two different crops of one identity."""
    same = labels[:, None] == labels[None, :]
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """The mean () of the values for which chosen is true; 0 if there are none."""
    return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp_min(1)
