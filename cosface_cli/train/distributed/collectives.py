"""The processes that share a training, and what they say to each other. Alone, each of these says it to itself."""

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
    """rank: of this process, 0..count-1; local, on_machine: its place among the processes of its machine, and how many
    these are. Every method is called by all of them, in the same order."""

    rank: int = 0
    count: int = 1
    local: int = 0
    on_machine: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that speaks and writes."""
        return self.rank == 0

    def rows(self, total: int) -> range:
        """Which of so many rows lie here: neighbours, as many as elsewhere up to one."""
        return range(self.rank * total // self.count, (self.rank + 1) * total // self.count)

    def parts(self, size: int, slices: int) -> list[NDArray[np.int64]]:
        """Which of a batch's crops this process takes, for each slice that the batch is worked through in. Those of
        all processes, one after another, are the slice in its order."""
        return [np.array_split(some, self.count)[self.rank] for some in np.array_split(np.arange(size), slices)]

    def told(self, value: T) -> T:
        """What the first one says. value: this process's, which counts only there."""
        if self.count == 1:
            return value
        said = [value]
        dist.broadcast_object_list(said, src=0, device=_CPU)
        return said[0]

    def every(self, holds: bool) -> bool:
        """Whether it holds in all of them."""
        if self.count == 1:
            return holds
        flag = torch.tensor(int(holds))
        dist.all_reduce(flag, dist.ReduceOp.MIN)
        return bool(flag)

    def decided(self, wanted: bool) -> bool:
        """Whether the first one wants it: told, at the price of a byte."""
        if self.count == 1:
            return wanted
        flag = torch.tensor(wanted, dtype=torch.uint8)
        dist.broadcast(flag, src=0)
        return bool(flag)

    def lists(self, values: tuple[T, ...]) -> tuple[T, ...]:
        """All their values, one process after another."""
        if self.count == 1:
            return values
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, values)
        return tuple(value for some in found for value in some)

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all, the same bits everywhere; without a gradient."""
        return self._reduced(value, dist.ReduceOp.SUM)

    def largest(self, value: Tensor) -> Tensor:
        """The largest of all, element by element; without a gradient."""
        return self._reduced(value, dist.ReduceOp.MAX)

    def stacked(self, value: Tensor) -> Tensor:
        """Everyone's value, of one shape, (count, ...); without a gradient."""
        if self.count == 1:
            return value.detach()[None]
        mine = value.detach().contiguous()
        found = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(found, mine)
        return torch.stack(found)

    def joined(self, rows: Tensor) -> Tensor:
        """Everyone's rows (b, ...), which may be more here and fewer there, one after another, (B, ...).

        The gradient of a row goes back to where it came from. It must be the same everywhere: see `used_by_all`.
        """
        joined: Tensor = _Joined.apply(rows, self) if self.count > 1 else rows  # type: ignore[no-untyped-call]
        return joined

    def used_by_all(self, value: Tensor) -> Tensor:
        """A value that all hold, of which each computes another part of the loss: its gradient is the sum of theirs."""
        found: Tensor = _UsedByAll.apply(value, self) if self.count > 1 else value  # type: ignore[no-untyped-call]
        return found

    def total(self, value: Tensor) -> Tensor:
        """The sum over all, from which each computes the same loss: its gradient is everybody's own."""
        found: Tensor = _Total.apply(value, self) if self.count > 1 else value  # type: ignore[no-untyped-call]
        return found

    def copied(self, value: Tensor) -> None:
        """Put the first one's value in the place of this one."""
        if self.count > 1:
            dist.broadcast(value, src=0)

    def whole(self, mine: Tensor, total: int) -> Tensor:
        """The rows (total, ...) of which each holds `rows`, on the CPU of the first; elsewhere only this one's."""
        here = mine.detach().to(_CPU).contiguous()
        if self.count == 1:
            return here
        if not self.is_first:
            dist.send(here, dst=0)
            return here
        whole = torch.empty((total, *here.shape[1:]), dtype=here.dtype)
        whole[: len(here)] = here
        for rank in range(1, self.count):
            theirs = Ranks(rank, self.count).rows(total)
            dist.recv(whole[theirs.start : theirs.stop], src=rank)
        return whole

    def shared(self, tensors: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, NDArray[Any]]]:
        """The first one's tensors by name, one at a time, so that nobody else must hold them all."""
        if self.count == 1:
            yield from tensors.items()
            return
        for name, shape, kind in self.told([(name, t.shape, t.dtype.str) for name, t in tensors.items()]):
            value = np.array(tensors[name]) if self.is_first else np.empty(shape, kind)
            dist.broadcast(torch.from_numpy(value), src=0)
            yield name, value

    def _reduced(self, value: Tensor, how: Any) -> Tensor:
        if self.count == 1:
            return value.detach()
        found = value.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(found, how)
        return found


class _Joined(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, ranks: Ranks) -> Tensor:
        counts = ranks.stacked(torch.tensor(len(rows))).tolist()
        ctx.begin, ctx.count = sum(counts[: ranks.rank]), len(rows)
        even = rows.new_zeros((max(counts), *rows.shape[1:]))  # all_gather wants one shape
        even[: len(rows)] = rows
        every = ranks.stacked(even)  # (count, b, ...)
        return torch.cat([some[:count] for some, count in zip(every, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][ctx.begin : ctx.begin + ctx.count], None


class _UsedByAll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.sum(gradients[0]), None


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, ranks: Ranks) -> Tensor:
        return ranks.sum(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None
