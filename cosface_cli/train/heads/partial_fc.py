"""Partial FC: class weights spread over processes, and a share of the classes in each step (An 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from cosface_cli.losses import Loss
from cosface_cli.losses.normalised import full_precision, lengths, without_autocast
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.heads.whole import Answer, Memory, memory_of, put_memory

_CLASSES = 3  # a stream of random numbers beside those of the data and of what is drawn within a step
_NOTHING = -1e30  # a logit that weighs nothing, and whose gradient is a number


def drawn_classes(identities: int, share: float, present: NDArray[np.int64], seed: int, step: int) -> NDArray[np.int64]:
    """The classes of a step in rising order: those present in the batch, and at random so many others that they are
    that share of all. present: each named once. A function of these and (seed, step), however many processes there
    are."""
    lot = np.random.default_rng([seed, _CLASSES, step]).random(identities)  # float64: no two alike
    lot[present] = -1.0
    count = max(len(present), round(share * identities))
    return np.sort(np.argpartition(lot, count - 1)[:count]).astype(np.int64)


def cross_entropy(logits: Tensor, columns: Tensor, ranks: Ranks) -> Tensor:
    """The mean () of log sum_j e^{z_j} - z_y over logits (B, C') of which each process has other columns.

    columns: (B,) int64 of the right class, -1 where it lies elsewhere. Stable: the largest is taken out first.
    """
    apart = logits - ranks.largest(logits.amax(dim=1))[:, None]  # (B, C'), up to 0
    right = torch.where(columns >= 0, apart.gather(1, columns.clamp_min(0)[:, None])[:, 0], 0.0)  # (B,)
    total, target = ranks.total(torch.stack([apart.exp().sum(dim=1), right]))
    mean: Tensor = (total.log() - target).mean()
    return mean


class PartialFC:
    """Any Classifier, cut by identity: its parameters are cut along their rows, its buffers are everybody's.

    loss: built for all identities, of which only this process's rows stay; share: of the classes in a step, above 0,
    up to 1; small: the same loss built for any number, whose parameters become the rows of a step where share is below
    1. A class that is not drawn stays as it is, without decay and momentum: so all rows, and the optimizer's memory of
    them, are laid by, and gradients and logits are of the drawn ones only. Answers are right among those drawn.
    """

    is_spread = True

    def __init__(
        self,
        loss: Any,
        small: Any,
        identities: int,
        ranks: Ranks,
        share: float,
        seed: int,
        device: torch.device,
    ) -> None:
        self.identities, self.ranks, self.share, self.seed = identities, ranks, share, seed
        self.rows = ranks.rows(identities)
        if ranks.count > 1:
            for parameter in loss.parameters():
                parameter.data = parameter.data[self.rows.start : self.rows.stop].clone()
        self.loss: Loss = loss.to(device)  # a Classifier
        self.learning: nn.Module = loss
        if share < 1:
            self.learning = small.to(device)
            loss.requires_grad_(False)
            for theirs, ours in zip(loss.modules(), small.modules(), strict=True):
                for name, buffer in theirs.named_buffers(recurse=False):
                    setattr(ours, name, buffer)
        self._drawn: Tensor | None = None  # (C',) rows of this process, rising; None for all
        self._is_empty = False
        self._laid_by: Memory = {name: {} for name, _ in loss.named_parameters()}

    def begin(self, optimizer: Optimizer, labels: Tensor, step: int) -> None:
        """Draw the classes of the step and take their rows out."""
        if self.share == 1:
            return
        present = np.unique(self.ranks.joined(labels).cpu().numpy())
        drawn = drawn_classes(self.identities, self.share, present, self.seed, step)
        mine = drawn[(drawn >= self.rows.start) & (drawn < self.rows.stop)] - self.rows.start
        self._is_empty = not mine.size  # all may lie elsewhere: then one takes part that weighs nothing
        self._drawn = torch.from_numpy(mine if mine.size else np.zeros(1, np.int64)).to(labels.device)
        for name, last, stock in self._pairs():
            now = nn.Parameter(stock[self._drawn])  # a new one: autograd holds the last one to its shape
            memory = optimizer.state.pop(last, {})
            memory.update({key: kept[self._drawn] for key, kept in self._laid_by[name].items()})
            if memory:
                optimizer.state[now] = memory
            for group in optimizer.param_groups:
                group["params"] = [now if parameter is last else parameter for parameter in group["params"]]
            owner, _, own_name = name.rpartition(".")
            setattr(self.learning.get_submodule(owner), own_name, now)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Answer:
        ranks: Ranks = self.ranks
        head: Any = self.learning
        with without_autocast(embeddings):
            x = ranks.joined(full_precision(embeddings))  # (B, D)
            labels = ranks.joined(labels)  # (B,)
            columns = self._columns(labels)  # (B,)
            shared = ranks.used_by_all(x)
            found = head.similarities(shared)  # (B, C')
            mine = torch.where(columns >= 0, found.gather(1, columns.clamp_min(0)[:, None])[:, 0], 0.0)  # (B,)
            own = mine + (ranks.sum(mine) - mine.detach())  # with a gradient where it lies
            logits = head.margined(found, own, columns, lengths(shared))  # (B, C')
            if self._is_empty:
                logits = logits * 0.0 + _NOTHING
            loss = cross_entropy(logits, columns, ranks) + head.penalty(x, labels)
            with torch.no_grad():
                best = found.amax(dim=1) if not self._is_empty else torch.full_like(own, -torch.inf)  # (B,)
                right = (own >= ranks.largest(best)).sum().float()
                theirs = columns.clamp_min(0)
                cosine = ranks.sum(torch.where(columns >= 0, head.own_cosines(x, theirs), 0.0).sum())
        return Answer(loss, right, cosine, len(labels))

    def agree(self) -> None:
        """Nothing: no class lies in two processes, and the buffers follow from what all know."""

    def end(self, optimizer: Optimizer) -> None:
        """Lay the rows of the step by again."""
        if self.share == 1:
            return
        assert self._drawn is not None
        for name, parameter, stock in self._pairs():
            laid_by = self._laid_by[name]
            for key, value in memory_of(self.learning, optimizer)[name].items():
                if value.shape == parameter.shape:
                    if key not in laid_by:
                        laid_by[key] = torch.zeros_like(stock, dtype=value.dtype)
                    if not self._is_empty:
                        laid_by[key][self._drawn] = value
            if not self._is_empty:
                stock[self._drawn] = parameter.data

    def memory(self, optimizer: Optimizer) -> Memory:
        """Rows and all: what is laid by goes before what the last step left with the optimizer."""
        last = memory_of(self.learning, optimizer)
        return {name: last[name] | rows for name, rows in self._laid_by.items()}

    def remember(self, optimizer: Optimizer, name: str, key: str, value: Tensor) -> None:
        if self.share < 1 and value.dim():
            self._laid_by[name][key] = value.to(self.loss.get_parameter(name).device)  # type: ignore[attr-defined]
        else:
            put_memory(self.learning, optimizer, name, key, value)

    def whole(self, tensor: Tensor) -> Tensor:
        return self.ranks.whole(tensor, self.identities) if tensor.dim() else tensor.detach().cpu()

    def mine(self, tensor: NDArray[Any]) -> NDArray[Any]:
        return tensor[self.rows.start : self.rows.stop].copy() if tensor.ndim else tensor

    def _pairs(self) -> Iterator[tuple[str, nn.Parameter, Tensor]]:
        """Each parameter of a step by its name, and the one of all rows here."""
        stock = dict(self.loss.named_parameters())  # type: ignore[attr-defined]
        return ((name, parameter, stock[name].data) for name, parameter in list(self.learning.named_parameters()))

    def _columns(self, labels: Tensor) -> Tensor:
        """Where the logits of this process have each label, (B,), -1 for elsewhere."""
        row = labels - self.rows.start
        if self._drawn is None:
            return torch.where((row >= 0) & (row < len(self.rows)), row, -1)
        column = torch.searchsorted(self._drawn, row).clamp_max(len(self._drawn) - 1)
        return torch.where((self._drawn[column] == row) & (not self._is_empty), column, -1)
