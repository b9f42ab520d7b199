"""PReLU (He 2015, arXiv 1502.01852, Eq. 1): x where x > 0, a x elsewhere, with a slope a for each channel.

On a CPU torch computes its gradient number by number, which took a third of a step of MobileFaceNet (two fifths in
bfloat16). Here it is computed by vectorised passes over blocks that stay in the cache: four times as fast, and for x
equal to the bit.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_BLOCK = 1 << 17  # numbers that each thread works on at a time: half a megabyte


class PReLU(nn.PReLU):
    """torch's PReLU with a faster gradient on CPUs. torch computes it on GPUs, and when compiled or exported."""

    def forward(self, x: Tensor) -> Tensor:
        quick = (
            torch.is_grad_enabled()
            and x.device.type == "cpu"
            and x.dtype == self._dtype()
            and x.dim() == 4
            and x.is_contiguous(memory_format=torch.channels_last)
            and self.weight.numel() == x.shape[1]
            and not torch.compiler.is_compiling()
        )
        if not quick:
            return super().forward(x)
        y: Tensor = _Blockwise.apply(x, self.weight)  # type: ignore[no-untyped-call]
        return y

    def _dtype(self) -> torch.dtype:
        """The type of the output, which under autocast can differ from the slope's."""
        return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else self.weight.dtype


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return nn.functional.prelu(x, slope.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, exact = ctx.saved_tensors
        slope = exact.to(x.dtype)
        out = torch.empty_like(x)  # (B, C, H, W), channels last
        of_slope = []
        rows = max(1, _BLOCK * torch.get_num_threads() // x.shape[1])
        blocks = (torch.split(_pixels(t), rows) for t in (x, gradient, out))
        for x_block, g, out_block in zip(*blocks, strict=True):
            above = torch.ops.aten.threshold_backward(g, x_block, 0)  # g where x > 0, else 0
            below = g - above
            torch.addcmul(above, below, slope, out=out_block)
            of_slope.append(below.mul_(x_block).sum(dim=0, dtype=exact.dtype))  # (C,)
        return out, torch.stack(of_slope).sum(dim=0)


def _pixels(t: Tensor) -> Tensor:
    """(B, C, H, W) as (B H W, C); a view where channels lie last."""
    return t.permute(0, 2, 3, 1).reshape(-1, t.shape[1])
