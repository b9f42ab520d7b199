"""Gradient scaling for fp16. The head, the loss and what is saved are float32 in every precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from cosface_cli.train.distributed.collectives import Ranks


def scaler_of(precision: str, device: torch.device, ranks: Ranks) -> torch.amp.GradScaler:
    """Keeps fp16's gradients from vanishing: the loss is scaled up; a step with an infinite gradient is skipped in all
    processes, and the scale halved. For other precisions it does nothing."""
    import torch

    if precision == "fp16" and ranks.world_size > 1:
        from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler  # agrees with the other processes

        return ShardedGradScaler(device.type)
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")
