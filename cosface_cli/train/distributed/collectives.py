"""The collective operations of the processes that share a training, named as in torch.distributed.

With one process, each operation returns its argument.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

T = TypeVar("T")

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Ranks:
    """One process among those that share a training. All of them call each method, in the same order."""

    rank: int = 0
    """Number of this process, 0..world_size-1."""
    world_size: int = 1
    """Number of processes."""
    local_rank: int = 0
    """Number of this process among those of its machine."""
    local_world_size: int = 1
    """Number of processes on its machine."""

    @property
    def is_main(self) -> bool:
        """Whether this process is rank 0, the only one that prints and writes files."""
        return self.rank == 0

    def local_range(self, total: int) -> range:
        """The contiguous rows of `total` that belong to this process; the numbers of rows differ by at most one."""
        return range(self.rank * total // self.world_size, (self.rank + 1) * total // self.world_size)

    def local_slices(self, size: int, slices: int) -> list[NDArray[np.int64]]:
        """The crops of a batch that this process takes, for each slice of the batch (gradient accumulation).

        The parts of all processes, in order of their ranks, make up the slice in order.
        """
        return [
            np.array_split(slice_, self.world_size)[self.rank] for slice_ in np.array_split(np.arange(size), slices)
        ]

    def broadcast_object(self, value: T) -> T:
        """The value of rank 0. The values of other ranks are ignored."""
        if self.world_size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=_CPU)
        return box[0]

    def broadcast_bool(self, value: bool) -> bool:
        """The bool of rank 0: one byte, without pickling."""
        if self.world_size == 1:
            return value
        flag = torch.tensor(value, dtype=torch.uint8)
        dist.broadcast(flag, src=0)
        return bool(flag)

    def all_true(self, value: bool) -> bool:
        """Whether it is true in all processes."""
        if self.world_size == 1:
            return value
        flag = torch.tensor(int(value))
        dist.all_reduce(flag, dist.ReduceOp.MIN)
        return bool(flag)

    def gather_list(self, values: tuple[T, ...]) -> tuple[T, ...]:
        """The values of all processes, in order of their ranks."""
        if self.world_size == 1:
            return values
        gathered: list[tuple[T, ...]] = [()] * self.world_size
        dist.all_gather_object(gathered, values)
        return tuple(value for values in gathered for value in values)

    def all_reduce_sum(self, value: Tensor) -> Tensor:
        """The sum over all processes, the same bits everywhere; without a gradient."""
        return self._all_reduce(value, dist.ReduceOp.SUM)

    def all_reduce_max(self, value: Tensor) -> Tensor:
        """The maximum over all processes, element by element; without a gradient."""
        return self._all_reduce(value, dist.ReduceOp.MAX)

    def all_gather(self, value: Tensor) -> Tensor:
        """The tensors of all processes, which have one shape, stacked (world_size, ...); without a gradient."""
        if self.world_size == 1:
            return value.detach()[None]
        local = value.detach().contiguous()
        gathered = [torch.empty_like(local) for _ in range(self.world_size)]
        dist.all_gather(gathered, local)
        return torch.stack(gathered)

    def all_gather_rows(self, rows: Tensor) -> Tensor:
        """The rows (b, ...) of all processes, whose b may differ, concatenated (B, ...).

        The gradient of a row goes back to its process. It must be the same in all processes: see `sum_gradient`.
        """
        if self.world_size == 1:
            return rows
        gathered: Tensor = _AllGatherRows.apply(rows, self)  # type: ignore[no-untyped-call]
        return gathered

    def sum_gradient(self, value: Tensor) -> Tensor:
        """A value that all processes have, and from which each computes another part of the loss. Its gradient is the
        sum of the gradients in all processes."""
        if self.world_size == 1:
            return value
        same: Tensor = _SumGradient.apply(value, self)  # type: ignore[no-untyped-call]
        return same

    def all_reduce_sum_with_grad(self, value: Tensor) -> Tensor:
        """The sum over all processes, from which each computes the same loss; gradients are not summed."""
        if self.world_size == 1:
            return value
        total: Tensor = _AllReduceSum.apply(value, self)  # type: ignore[no-untyped-call]
        return total

    def broadcast_(self, value: Tensor) -> None:
        """Overwrite the tensor in place with that of rank 0."""
        if self.world_size > 1:
            dist.broadcast(value, src=0)

    def gather_rows(self, local_rows: Tensor, total: int) -> Tensor:
        """On rank 0 all rows (total, ...), on the CPU, of which each process has those of its `local_range`. The other
        processes get their local rows."""
        local = local_rows.detach().to(_CPU).contiguous()
        if self.world_size == 1:
            return local
        if not self.is_main:
            dist.send(local, dst=0)
            return local
        gathered = torch.empty((total, *local.shape[1:]), dtype=local.dtype)
        gathered[: len(local)] = local
        for rank in range(1, self.world_size):
            remote = Ranks(rank, self.world_size).local_range(total)
            dist.recv(gathered[remote.start : remote.stop], src=rank)
        return gathered

    def broadcast_arrays(self, arrays: Mapping[str, NDArray[np.generic]]) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """The arrays of rank 0 by name, one at a time, so that the other processes need no memory for all of them."""
        if self.world_size == 1:
            yield from arrays.items()
            return
        for name, shape, dtype in self.broadcast_object([(name, a.shape, a.dtype.str) for name, a in arrays.items()]):
            value = np.array(arrays[name]) if self.is_main else np.empty(shape, dtype)
            dist.broadcast(torch.from_numpy(value), src=0)
            yield name, value

    def _all_reduce(self, value: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
        if self.world_size == 1:
            return value.detach()
        reduced = value.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(reduced, operation)
        return reduced


class _AllGatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: Ranks) -> Tensor:
        counts = ranks.all_gather(torch.tensor(len(rows))).tolist()
        ctx.begin, ctx.count = sum(counts[: ranks.rank]), len(rows)
        padded = rows.new_zeros((max(counts), *rows.shape[1:]))  # all_gather needs one shape
        padded[: len(rows)] = rows
        gathered = ranks.all_gather(padded)  # (world_size, b, ...)
        return torch.cat([part[:count] for part, count in zip(gathered, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][ctx.begin : ctx.begin + ctx.count], None


class _SumGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.all_reduce_sum(gradients[0]), None


class _AllReduceSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, value: Tensor, ranks: Ranks) -> Tensor:
        return ranks.all_reduce_sum(value)

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
