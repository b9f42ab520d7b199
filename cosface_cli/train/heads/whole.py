"""What a step asks of the classes: the loss of a batch whose crops may lie in several processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from cosface_cli.losses import Loss
from cosface_cli.train.distributed.collectives import Ranks

Memory = dict[str, dict[str, Tensor]]  # of each parameter by its name, by the optimizer's own names


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """Of the crops of all processes, the same in each. loss: mean (); right: how many are classified rightly without
    the margin (); cosine: sum of their target cosines (), both no number without a classifier; count: of the crops."""

    loss: Tensor
    right: Tensor
    cosine: Tensor
    count: int


class Head(Protocol):
    """loss: the module with the class weights that lie here; rows: the identities that these are; learning: the module
    whose parameters the optimizer moves, mostly loss itself; is_spread: whether each process holds other ones."""

    loss: Loss
    learning: nn.Module
    rows: range
    is_spread: bool

    def begin(self, optimizer: Optimizer, labels: Tensor, step: int) -> None:
        """Before a step's first answer. labels: (b,) int64 of all crops of the step that lie here."""
        ...

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Answer:
        """The answer for embeddings (b, D) with labels (b,) int64 in 0..C-1, those here."""
        ...

    def agree(self) -> None:
        """After the backward pass: what must be the same in all processes is made so to the bit."""
        ...

    def end(self, optimizer: Optimizer) -> None:
        """After the optimizer's step."""
        ...

    def memory(self, optimizer: Optimizer) -> Memory:
        """What the optimizer keeps of the parameters that lie here."""
        ...

    def remember(self, optimizer: Optimizer, name: str, key: str, value: Tensor) -> None:
        """Put back a piece of such memory, on the CPU, of a parameter by its name."""
        ...

    def whole(self, tensor: Tensor) -> Tensor:
        """A tensor of the loss or of that memory with the rows of all identities, on the CPU of the first process."""
        ...

    def mine(self, tensor: NDArray[Any]) -> NDArray[Any]:
        """Of such a whole tensor what lies here."""
        ...


class WholeHead:
    """All class weights in one process, or the same ones in each of several, over the crops of all of them."""

    is_spread = False

    def __init__(self, loss: Any, identities: int, ranks: Ranks, device: torch.device) -> None:
        self.loss: Loss = loss.to(device)
        self.learning: nn.Module = loss
        self.rows = range(identities)
        self.ranks = ranks

    def begin(self, optimizer: Optimizer, labels: Tensor, step: int) -> None:
        pass

    def __call__(self, embeddings: Tensor, labels: Tensor) -> Answer:
        everyone, theirs = self.ranks.joined(embeddings), self.ranks.joined(labels)  # (B, D), (B,)
        return Answer(self.loss(everyone, theirs), *self._right(everyone.detach(), theirs), len(theirs))

    def agree(self) -> None:
        for parameter in self.learning.parameters():
            if parameter.grad is not None:
                self.ranks.copied(parameter.grad)
        for buffer in self.learning.buffers():
            self.ranks.copied(buffer)

    def end(self, optimizer: Optimizer) -> None:
        pass

    def memory(self, optimizer: Optimizer) -> Memory:
        return memory_of(self.learning, optimizer)

    def remember(self, optimizer: Optimizer, name: str, key: str, value: Tensor) -> None:
        put_memory(self.learning, optimizer, name, key, value)

    def whole(self, tensor: Tensor) -> Tensor:
        return tensor.detach().cpu().contiguous()

    def mine(self, tensor: NDArray[Any]) -> NDArray[Any]:
        return tensor

    @torch.no_grad()
    def _right(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.loss.scores(embeddings)  # (B, C)
        own = self.loss.own_cosines(embeddings, labels)  # (B,)
        if scores is None or own is None:
            nothing = embeddings.new_tensor(torch.nan)
            return nothing, nothing
        return (scores.argmax(dim=1) == labels).sum().float(), own.sum()


def memory_of(module: nn.Module, optimizer: Optimizer) -> Memory:
    """What an optimizer keeps of a module's parameters; torch keeps no momentum of one without a gradient."""
    return {
        name: {key: value for key, value in optimizer.state.get(parameter, {}).items() if value is not None}
        for name, parameter in module.named_parameters()
    }


def put_memory(module: nn.Module, optimizer: Optimizer, name: str, key: str, value: Tensor) -> None:
    """Such a piece back to its parameter. AdamW's count of steps stays on the CPU, as torch keeps it."""
    parameter = module.get_parameter(name)
    optimizer.state[parameter][key] = value.to(parameter.device) if value.dim() else value
