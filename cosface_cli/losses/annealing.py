"""The annealed lambda of the losses that multiply the angle. Without it they do not start to learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cosface_cli.losses.normalised import require


class Annealing(nn.Module):
    """lambda = max(lambda_min, lambda_max (1 + gamma n)^-power) in step n = 1, 2, ..., n a buffer.

    The logit with the margin is (lambda cos + psi) / (1 + lambda), so that training starts almost without the margin
    (Liu 2017, appendix). n counts forward passes in training mode, as in the authors' code: with --accumulate each
    slice is one.
    """

    iteration: Tensor

    def __init__(self, lambda_min: float, lambda_max: float, gamma: float, power: float) -> None:
        super().__init__()
        require(0 <= lambda_min <= lambda_max, "lambda_min must be 0 or more, and lambda_max no less")
        require(gamma >= 0 and power >= 0, "gamma and power must be 0 or more")
        self.lambda_min, self.lambda_max, self.gamma, self.power = lambda_min, lambda_max, gamma, power
        self.register_buffer("iteration", torch.zeros((), dtype=torch.int64))

    def value(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """lambda () now."""
        n = self.iteration.to(dtype)
        return (self.lambda_max * (1 + self.gamma * n) ** -self.power).clamp_min(self.lambda_min)

    def forward(self, cos: Tensor, psi: Tensor) -> Tensor:
        """(lambda cos + psi) / (1 + lambda), (B,)."""
        if self.training:
            self.iteration += 1
        now = self.value(cos.dtype)
        return (now * cos + psi) / (1 + now)


def whole(m: float) -> int:
    """m as an integer. Raises CosfaceError unless it is a whole number of at least 1."""
    require(m >= 1 and m == int(m), f"m, the factor of the angle, must be a whole number of at least 1, got {m:g}")
    return int(m)
