"""Cosines of angles with a margin: with finite slopes, and falling from 0 to pi."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sines(cos: Tensor) -> Tensor:
    """sqrt(1 - cos^2) of cosines in -1..1; its slope, infinite at 1 and -1, is taken as 0 there."""
    return ((1 - cos) * (1 + cos)).clamp_min(torch.finfo(cos.dtype).eps).sqrt()


def angles(cos: Tensor) -> Tensor:
    """arccos of cosines in -1..1, in 0..pi; its slope, infinite at 1 and -1, is taken as 0 there."""
    inside = (1 - cos) * (1 + cos) > torch.finfo(cos.dtype).eps
    return torch.where(inside, torch.where(inside, cos, 0.0).acos(), cos.detach().acos())


def cos_of_sum(cos: Tensor, m: float | Tensor) -> Tensor:
    """cos(theta + m) of cos(theta) (B,), m in radians, 0 to pi/2.

    Beyond theta = pi - m, where it would rise again, cos(theta) - m sin(m), as Deng 2019 trained.
    """
    m = torch.as_tensor(m, dtype=cos.dtype, device=cos.device)
    turned = cos * m.cos() - sines(cos) * m.sin()
    return torch.where(cos > -m.cos(), turned, cos - m * m.sin())


def psi(angle: Tensor) -> Tensor:
    """(-1)^k cos(angle) - 2k for an angle (B,) of k pi to (k+1) pi: a cosine that goes on falling (Liu 2017 Eq. 7)."""
    k = (angle.detach() / math.pi).floor()
    return (1 - 2 * (k % 2)) * angle.cos() - 2 * k


def psi_of_multiple(cos: Tensor, m: int) -> Tensor:
    """psi(m theta) of cos(theta) (B,) for a whole m of 1 or more (Liu 2017 Eq. 7).

    cos(m theta) is a polynomial in cos(theta), Chebyshev's: no arccos, so every slope is finite.
    """
    before, multiple = torch.ones_like(cos), cos
    for _ in range(m - 1):
        before, multiple = multiple, 2 * cos * multiple - before
    k = torch.zeros_like(cos)
    for j in range(1, m):
        k += cos.detach() <= math.cos(j * math.pi / m)
    return (1 - 2 * (k % 2)) * multiple - 2 * k
