"""The class head with all class weights in every process."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from cosface_cli.losses import Loss
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.heads import HeadOutput, OptimizerState


class WholeHead:
    """All class weights in one process, or a copy of them in each of several. The loss is over the crops of all."""

    is_sharded = False

    def __init__(self, loss: nn.Module, identities: int, ranks: Ranks, device: torch.device) -> None:
        self.loss = cast("Loss", loss.to(device))
        self.trained: nn.Module = loss
        self.rows = range(identities)
        self.ranks = ranks

    def begin_step(self, optimizer: Optimizer, labels: Tensor, step: int) -> None:
        pass

    def __call__(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        x, all_labels = self.ranks.all_gather_rows(embeddings), self.ranks.all_gather_rows(labels)  # (B, D), (B,)
        loss = self.loss(x, all_labels)
        right, cosine = self._statistics(x.detach(), all_labels)
        return HeadOutput(loss=loss, right=right, cosine=cosine, count=len(all_labels))

    def sync_gradients(self) -> None:
        for parameter in self.trained.parameters():
            if parameter.grad is not None:
                self.ranks.broadcast_(parameter.grad)
        for buffer in self.trained.buffers():
            self.ranks.broadcast_(buffer)

    def end_step(self, optimizer: Optimizer) -> None:
        pass

    def optimizer_state(self, optimizer: Optimizer) -> OptimizerState:
        return optimizer_state_of(self.trained, optimizer)

    def load_optimizer_state(self, optimizer: Optimizer, name: str, key: str, value: Tensor) -> None:
        put_optimizer_state(self.trained, optimizer, name, key, value)

    def gather_rows(self, tensor: Tensor) -> Tensor:
        return tensor.detach().cpu().contiguous()

    def local_rows(self, tensor: NDArray[np.generic]) -> NDArray[np.generic]:
        return tensor

    @torch.no_grad()
    def _statistics(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The number of right answers () and the sum of target cosines ()."""
        scores = self.loss.scores(embeddings)  # (B, C)
        target_cosines = self.loss.target_cosines(embeddings, labels)  # (B,)
        if scores is None or target_cosines is None:
            nan = embeddings.new_tensor(torch.nan)
            return nan, nan
        return (scores.argmax(dim=1) == labels).sum().float(), target_cosines.sum()


def optimizer_state_of(module: nn.Module, optimizer: Optimizer) -> OptimizerState:
    """The state of an optimizer for a module's parameters; torch has no momentum for a parameter without a gradient."""
    return {
        name: {key: value for key, value in optimizer.state.get(parameter, {}).items() if value is not None}
        for name, parameter in module.named_parameters()
    }


def put_optimizer_state(module: nn.Module, optimizer: Optimizer, name: str, key: str, value: Tensor) -> None:
    """Restore one tensor of that state. AdamW's step count stays on the CPU, as torch keeps it."""
    parameter = module.get_parameter(name)
    optimizer.state[parameter][key] = value.to(parameter.device) if value.dim() else value
