"""Class heads: the class weights with their loss, in one process or spread over several (whole, partial_fc)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from cosface_cli.losses import Loss

OptimizerState = dict[str, dict[str, "Tensor"]]
"""The state of an optimizer: by the parameter's name, then by the optimizer's key."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class HeadOutput:
    """Loss and statistics over the crops of all processes, the same in each of them."""

    loss: Tensor
    """Mean over the crops ()."""
    right: Tensor
    """Number of crops whose highest logit, without the margin, is that of their class (); NaN without a classifier."""
    cosine: Tensor
    """Sum of the target cosines (); NaN without a classifier."""
    count: int
    """Number of crops."""


class ClassHead(Protocol):
    """The class weights and the loss over them, as a training step uses them."""

    loss: Loss
    """The module with the class weights that this process has."""
    trained: nn.Module
    """The module whose parameters the optimizer updates: `loss`, or a copy with the rows of one step."""
    rows: range
    """The identities whose weights this process has."""
    is_sharded: bool
    """Whether each process has the weights of other identities."""

    def begin_step(self, optimizer: torch.optim.Optimizer, labels: Tensor, step: int) -> None:
        """Before the first forward pass of a step. labels: (b,) int64 of this process's crops of the step."""
        ...

    def __call__(self, embeddings: Tensor, labels: Tensor) -> HeadOutput:
        """The loss of embeddings (b, D) with labels (b,) int64 in 0..C-1, both of this process's crops."""
        ...

    def sync_gradients(self) -> None:
        """After the backward pass: make gradients and buffers that all processes share equal to the bit."""
        ...

    def end_step(self, optimizer: torch.optim.Optimizer) -> None:
        """After the optimizer's step."""
        ...

    def optimizer_state(self, optimizer: torch.optim.Optimizer) -> OptimizerState:
        """The state of the optimizer for the class weights that this process has."""
        ...

    def load_optimizer_state(self, optimizer: torch.optim.Optimizer, name: str, key: str, value: Tensor) -> None:
        """Restore one tensor of that state, which is on the CPU. name: of the parameter."""
        ...

    def gather_rows(self, tensor: Tensor) -> Tensor:
        """A tensor of the loss or of the optimizer state with the rows of all identities, on the CPU of rank 0."""
        ...

    def local_rows(self, tensor: NDArray[np.generic]) -> NDArray[np.generic]:
        """The rows of such a whole tensor that this process has."""
        ...
