"""The training loop, from top to bottom."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from cosface_cli.losses import Loss
from cosface_cli.train.data import LabelledCrops
from cosface_cli.train.learner import Learner
from cosface_cli.train.schedule import Schedule


@dataclass(slots=True)
class Progress:
    """How far a run is. epoch: the one in work, from 1; position: its batches done; step: all batches done; seen:
    the epoch's crops so far, and over them the sums of loss, right answers without the margin, target cosines."""

    epoch: int = 1
    position: int = 0
    step: int = 0
    seen: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])

    @property
    def begun(self) -> int:
        """Epochs of which at least one step is done."""
        return self.epoch if self.position else self.epoch - 1


class NotFinite(Exception):
    """The loss, its gradient or the network is no number any more."""

    def __init__(
        self, progress: Progress, lr: float, loss: float, gradient: float, names: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"loss {loss}, gradient {gradient} after step {progress.step}")
        self.epoch, self.step = progress.epoch, progress.step
        self.lr, self.loss, self.gradient, self.names = lr, loss, gradient, names


def fit(
    learner: Learner,
    data: LabelledCrops,
    schedule: Schedule,
    clip: float,
    epochs: int,
    progress: Progress,
    after_step: Callable[[], None],
) -> Iterator[dict[str, Any]]:
    """Train from where progress stands up to that many epochs; gives the row of each epoch at its end.

    clip: largest length of the gradient. Raises NotFinite before the step that would spoil the network.
    """
    optimizer, head = learner.optimizer, learner.head
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    while progress.epoch <= epochs:
        for batch in data.batches(progress.epoch, progress.position):
            lr = schedule.rate(progress.step)
            for group in optimizer.param_groups:
                group["lr"] = lr
            labels = torch.from_numpy(batch.labels).to(learner.device)  # (B,)

            embeddings = learner.network(learner.inputs(batch.images))  # (B, D)
            loss = head(embeddings, labels)  # ()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            gradient = nn.utils.clip_grad_norm_(parameters, clip)  # ()

            answers = _answers(head, embeddings.detach(), labels)
            loss_now, gradient_now, right, cosine = torch.stack([loss.detach(), gradient, *answers]).tolist()
            if not (math.isfinite(loss_now) and math.isfinite(gradient_now)):
                raise NotFinite(progress, lr, loss_now, gradient_now, batch.names)
            optimizer.step()

            progress.seen += len(labels)
            for place, value in enumerate((loss_now * len(labels), right, cosine)):
                progress.sums[place] += value
            progress.position += 1
            progress.step += 1
            if progress.position < data.steps:
                after_step()
        if not learner.is_finite:
            raise NotFinite(progress, lr, loss_now, gradient_now, batch.names)

        row = _row(progress, lr)
        progress.epoch, progress.position, progress.seen, progress.sums = progress.epoch + 1, 0, 0, [0.0, 0.0, 0.0]
        yield row


def untrained_row(learner: Learner, data: LabelledCrops, schedule: Schedule) -> dict[str, Any]:
    """The row of epoch 0: the first batch before any step. The learner is left as it was."""
    batch = next(data.batches(1))
    labels = torch.from_numpy(batch.labels).to(learner.device)  # (B,)
    with torch.no_grad():
        network = copy.deepcopy(learner.network)  # batch norm counts what it sees: not in this one
        embeddings = network(learner.inputs(batch.images))  # (B, D)
        learner.modules["head"].eval()  # a loss counts its steps: not this one
        loss = learner.head(embeddings, labels)  # ()
        learner.modules["head"].train()
        right, cosine = torch.stack(_answers(learner.head, embeddings, labels)).tolist()
    count = len(labels)
    return _row(Progress(epoch=0, seen=count, sums=[float(loss) * count, right, cosine]), schedule.rate(0))


def _answers(head: Loss, embeddings: Tensor, labels: Tensor) -> list[Tensor]:
    """How many of a batch are classified rightly without the margin, and the sum of their target cosines; no
    numbers where the loss has no classifier."""
    with torch.no_grad():
        scores, own = head.scores(embeddings), head.own_cosines(embeddings, labels)  # (B, C), (B,)
        if scores is None or own is None:
            return [embeddings.new_tensor(math.nan), embeddings.new_tensor(math.nan)]
        return [(scores.argmax(dim=1) == labels).sum().float(), own.sum()]


def _row(progress: Progress, lr: float) -> dict[str, Any]:
    """loss: mean; lr: of the last step; accuracy: 0..1, without the margin; target_cosine: mean, both None without a
    classifier."""
    loss, right, cosine = (total / progress.seen if total == total else None for total in progress.sums)
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "loss": loss,
        "lr": lr,
        "accuracy": right,
        "target_cosine": cosine,
    }
