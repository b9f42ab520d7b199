"""A network whose gradients are summed over all processes."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def distributed_network(network: nn.Module, device: torch.device, sync_bn: bool) -> DistributedDataParallel:
    """The network wrapped by DDP, which sums the gradients of all processes after each backward pass. DDP's default is
    their mean, but our loss is already the mean over the crops of all processes.

    sync_bn: whether batch norm is over the crops of all processes. If not, all continue from rank 0's statistics.
    """
    ddp = DistributedDataParallel(
        network,
        device_ids=[device] if device.type == "cuda" else None,
        forward_sync_buffers=not sync_bn,
        gradient_as_bucket_view=True,
    )
    ddp.register_comm_hook(None, lambda _, bucket: _sum(bucket.buffer()))  # torch checks annotations of a def
    return ddp


def _sum(gradients: Tensor) -> torch.futures.Future[Tensor]:
    work = dist.all_reduce(gradients, async_op=True)
    assert work is not None
    summed: torch.futures.Future[Tensor] = work.get_future().then(lambda done: done.value()[0])
    return summed
