"""Gradient scaling for fp16. The head, the loss and the saved weights are float32 in every precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from cosface_cli.train.distributed.collectives import Ranks


def scaler_of(precision: str, device: torch.device, ranks: Ranks) -> torch.amp.GradScaler:
    """The scaler that prevents underflow of fp16's gradients: it scales the loss up. A step with an infinite gradient
    is skipped in all processes, and the scale is halved. For other precisions it does nothing."""
    import torch

    if precision == "fp16" and ranks.world_size > 1:
        from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler  # the same decision in all processes

        return ShardedGradScaler(device.type)
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
