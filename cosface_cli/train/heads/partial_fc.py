"""Partial FC: class weights sharded over the processes, and a share of the classes in each step (An 2021)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from cosface_cli.losses import Loss
from cosface_cli.losses.normalised import full_precision, lengths, without_autocast
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.heads import HeadOutput, OptimizerState
from cosface_cli.train.heads.whole import optimizer_state_of, put_optimizer_state
from cosface_cli.train.setup.randomness import Stream, generator

_NEGLIGIBLE = -1e30  # a logit whose softmax is 0 and whose gradient is finite


def sampled_classes(
    identities: int, share: float, present: NDArray[np.int64], seed: int, step: int
) -> NDArray[np.int64]:
    """The classes of a step in ascending order: those of the batch, and random others up to that share of all.

    present: the classes of the batch, each once. The result depends only on these and (seed, step), not on the number
    of processes.
    """
    priority = generator(Stream.CLASSES, seed, step).random(identities)  # float64: no two are equal
    priority[present] = -1.0
    count = max(len(present), round(share * identities))
    return np.sort(np.argpartition(priority, count - 1)[:count]).astype(np.int64)


def cross_entropy(logits: Tensor, columns: Tensor, ranks: Ranks) -> Tensor:
    """The mean () of log sum_j e^{z_j} - z_y over logits (B, C') of which each process has other columns.

    columns: (B,) int64 of the right class, -1 if another process has it. Stable: the maximum is subtracted first.
    """
    shifted = logits - ranks.all_reduce_max(logits.amax(dim=1))[:, None]  # (B, C'), up to 0
    right = torch.where(columns >= 0, shifted.gather(1, columns.clamp_min(0)[:, None])[:, 0], 0.0)  # (B,)
    total, target = ranks.all_reduce_sum_with_grad(torch.stack([shifted.exp().sum(dim=1), right]))
    mean: Tensor = (total.log() - target).mean()
    return mean


class PartialFC:
    """A Classifier whose parameters are split by identity over the processes; its buffers are the same in each.

    If a step takes only a share of the classes, the rows of all classes and their optimizer state are stored, and
    `trained` has the rows of the step, for which gradients and logits are computed. A class that was not sampled keeps
    its weights, without decay and momentum. The statistics of a step are over its sampled classes.
    """

    is_sharded = True

    def __init__(
        self,
        build: Callable[[int], nn.Module],
        identities: int,
        ranks: Ranks,
        device: torch.device,
        share: float = 1.0,
        seed: int = 0,
    ) -> None:
        """build: number of identities -> loss with random weights; share: of the classes in a step, above 0, up to 1;
        seed: of the sampled classes."""
        self.identities, self.ranks, self.share, self.seed = identities, ranks, share, seed
        self.rows = ranks.local_range(identities)
        loss = build(identities)
        if ranks.world_size > 1:
            for parameter in loss.parameters():
                parameter.data = parameter.data[self.rows.start : self.rows.stop].clone()
        self._module = loss.to(device)
        self.loss = cast("Loss", self._module)  # a Classifier
        self.trained: nn.Module = loss
        if share < 1:
            self.trained = build(1).to(device)  # each step sets its rows
            loss.requires_grad_(False)
            for module, twin in zip(loss.modules(), self.trained.modules(), strict=True):
                for name, buffer in module.named_buffers(recurse=False):
                    setattr(twin, name, buffer)
        self._sampled: Tensor | None = None
        """(C',) rows of this process in the step, ascending; None for all."""
        self._is_empty = False
        """Whether no class of the step is among this process's rows. Then one row takes part without effect."""
        self._stored_rows: OptimizerState = {name: {} for name, _ in loss.named_parameters()}

    def begin_step(self, optimizer: Optimizer, labels: Tensor, step: int) -> None:
        """Sample the classes of the step and copy their stored rows to `trained`."""
        if self.share == 1:
            return
        present = np.unique(self.ranks.all_gather_rows(labels).cpu().numpy())
        sampled = sampled_classes(self.identities, self.share, present, self.seed, step)
        local = sampled[(sampled >= self.rows.start) & (sampled < self.rows.stop)] - self.rows.start
        self._is_empty = not local.size
        if self._is_empty:
            local = np.zeros(1, np.int64)
        self._sampled = torch.from_numpy(local).to(labels.device)
        for name, previous, stored in self._parameters():
            current = nn.Parameter(stored[self._sampled])  # a new one: autograd ties the previous one to its shape
            state = optimizer.state.pop(previous, {})
            state.update({key: rows[self._sampled] for key, rows in self._stored_rows[name].items()})
            if state:
                optimizer.state[current] = state
            for group in optimizer.param_groups:
                group["params"] = [current if parameter is previous else parameter for parameter in group["params"]]
            owner, _, attribute = name.rpartition(".")
            setattr(self.trained.get_submodule(owner), attribute, current)

    def __call__(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        ranks: Ranks = self.ranks
        head: Any = self.trained
        with without_autocast(embeddings):
            x = ranks.all_gather_rows(full_precision(embeddings))  # (B, D)
            labels = ranks.all_gather_rows(labels)  # (B,)
            columns = self._columns(labels)  # (B,)
            shared = ranks.sum_gradient(x)
            cosines = head.similarities(shared)  # (B, C')
            local = torch.where(columns >= 0, cosines.gather(1, columns.clamp_min(0)[:, None])[:, 0], 0.0)  # (B,)
            target = local + (ranks.all_reduce_sum(local) - local.detach())  # has a gradient in the target's process
            logits = head.margined(cosines, target, columns, lengths(shared))  # (B, C')
            if self._is_empty:
                logits = logits * 0.0 + _NEGLIGIBLE
            loss = cross_entropy(logits, columns, ranks) + head.penalty(x, labels)
            with torch.no_grad():
                best = torch.full_like(target, -torch.inf) if self._is_empty else cosines.amax(dim=1)  # (B,)
                right = (target >= ranks.all_reduce_max(best)).sum().float()
                target_cosines = torch.where(columns >= 0, head.target_cosines(x, columns.clamp_min(0)), 0.0)  # (B,)
                cosine = ranks.all_reduce_sum(target_cosines.sum())
        return HeadOutput(loss=loss, right=right, cosine=cosine, count=len(labels))

    def sync_gradients(self) -> None:
        """Does nothing: no class is in two processes, and all processes compute the same buffers."""

    def end_step(self, optimizer: Optimizer) -> None:
        """Store the rows of the step."""
        if self.share == 1:
            return
        assert self._sampled is not None
        for name, parameter, stored in self._parameters():
            stored_rows = self._stored_rows[name]
            for key, value in optimizer_state_of(self.trained, optimizer)[name].items():
                if value.shape == parameter.shape:
                    if key not in stored_rows:
                        stored_rows[key] = torch.zeros_like(stored, dtype=value.dtype)
                    if not self._is_empty:
                        stored_rows[key][self._sampled] = value
            if not self._is_empty:
                stored[self._sampled] = parameter.data

    def optimizer_state(self, optimizer: Optimizer) -> OptimizerState:
        """The stored rows, and the optimizer's state for what is not stored by rows."""
        last = optimizer_state_of(self.trained, optimizer)
        return {name: last[name] | rows for name, rows in self._stored_rows.items()}

    def load_optimizer_state(self, optimizer: Optimizer, name: str, key: str, value: Tensor) -> None:
        if self.share < 1 and value.dim():
            self._stored_rows[name][key] = value.to(self._module.get_parameter(name).device)
        else:
            put_optimizer_state(self.trained, optimizer, name, key, value)

    def gather_rows(self, tensor: Tensor) -> Tensor:
        return self.ranks.gather_rows(tensor, self.identities) if tensor.dim() else tensor.detach().cpu()

    def local_rows(self, tensor: NDArray[np.generic]) -> NDArray[np.generic]:
        return tensor[self.rows.start : self.rows.stop].copy() if tensor.ndim else tensor

    def _parameters(self) -> Iterator[tuple[str, nn.Parameter, Tensor]]:
        """Each parameter of the step by its name, and its stored rows."""
        stored = dict(self._module.named_parameters())
        return ((name, parameter, stored[name].data) for name, parameter in list(self.trained.named_parameters()))

    def _columns(self, labels: Tensor) -> Tensor:
        """The column (B,) of each label in this process's logits, -1 if another process has it."""
        row = labels - self.rows.start
        if self._sampled is None:
            return torch.where((row >= 0) & (row < len(self.rows)), row, -1)
        column = torch.searchsorted(self._sampled, row).clamp_max(len(self._sampled) - 1)
        return torch.where((self._sampled[column] == row) & (not self._is_empty), column, -1)
