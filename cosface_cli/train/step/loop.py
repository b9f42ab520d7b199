"""The training loop over the batches of an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosface_cli.losses import Loss
from cosface_cli.train.crops.dataset import Batch, LabelledCrops
from cosface_cli.train.heads import HeadOutput
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.learner import Learner
from cosface_cli.train.step.parameter_groups import set_lr
from cosface_cli.train.step.schedule import Schedule

Slices = list[NDArray[np.int64]]
"""Which crops of a batch this process takes, for each slice of the batch."""


@dataclass(slots=True, kw_only=True)
class TrainState:
    """The progress of a run."""

    epoch: int = 1
    """The current epoch, from 1."""
    position: int = 0
    """Batches of the epoch that are done."""
    step: int = 0
    """Batches of all epochs that are done."""
    seen: int = 0
    """Crops of the epoch that are done."""
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Sums over these crops: loss, right answers without the margin, target cosines."""
    best: float | None = None
    """The highest score of an epoch so far."""
    best_epoch: int | None = None
    """The epoch with that score."""

    @property
    def epochs_done(self) -> int:
        """The number of epochs that have begun."""
        return self.epoch - (self.position == 0)

    def add_step(self, result: StepResult, crops: int) -> None:
        """Count a step. crops: of all processes."""
        self.seen += crops
        self.sums = [a + b for a, b in zip(self.sums, (result.loss_sum, result.right, result.cosine), strict=True)]
        self.position += 1
        self.step += 1

    def begin_next_epoch(self) -> None:
        self.epoch, self.position, self.seen, self.sums = self.epoch + 1, 0, 0, [0.0, 0.0, 0.0]

    def add_score(self, epoch: int, score: float | None) -> bool:
        """Add an epoch's score, None for no score; returns whether it is higher than all scores before."""
        if score is None or (self.best is not None and score <= self.best):
            return False
        self.best, self.best_epoch = score, epoch
        return True

    def is_patience_over(self, patience: int) -> bool:
        """Whether the last `patience` epochs had no better score; for 0 never."""
        return bool(patience) and self.epochs_done - (self.best_epoch or 0) >= patience


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """The result of one step, over the crops of all processes."""

    lr: float
    loss_sum: float
    right: float
    """Number of right answers, without the margin."""
    cosine: float
    """Sum of the target cosines."""
    gradient: float
    """Norm of the gradient before it is clipped."""


class NotFinite(Exception):
    """The loss, its gradient or the network is not finite. where: the first of weights, embeddings, loss and gradient
    that is not finite; names: of the step's crops."""

    def __init__(
        self, state: TrainState, lr: float, loss: float, gradient: float, where: str, names: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"loss {loss}, gradient {gradient} after step {state.step}")
        self.epoch, self.step = state.epoch, state.step
        self.lr, self.loss, self.gradient, self.where, self.names = lr, loss, gradient, where, names


def train_epoch(
    learner: Learner,
    data: LabelledCrops,
    schedule: Schedule,
    settings: Settings,
    state: TrainState,
    after_step: Callable[[], None],
) -> dict[str, Any]:
    """Train from where state is to the end of its epoch, or to the schedule's last step; returns the epoch's row.

    after_step is called after each step except the epoch's last. If processes share a run, each computes its part of
    every batch; loss, gradient and row are those of the whole batch. Raises NotFinite before a step with a loss or
    gradient that is not finite is applied, or if the weights are not finite at the end.
    """
    ranks = learner.ranks
    slices = ranks.local_slices(data.batch_size, settings.accumulate)
    for batch in data.batches(state.epoch, state.position, part=np.concatenate(slices)):
        result = train_step(learner, batch, slices, data.batch_size, schedule.rate(state.step), settings, state)
        state.add_step(result, data.batch_size)
        if state.step == schedule.steps:
            break
        if state.position < data.steps:
            after_step()
    if not learner.is_finite:
        loss = result.loss_sum / data.batch_size
        raise NotFinite(state, result.lr, loss, result.gradient, "weights", ranks.gather_list(batch.names))

    row = _row(state, result.lr, learner.head.loss)
    if state.position == data.steps:  # else the run ends within the epoch, and may be continued from there
        state.begin_next_epoch()
    return row


def train_step(
    learner: Learner,
    batch: Batch,
    slices: Slices,
    batch_size: int,
    lr: float,
    settings: Settings,
    state: TrainState,
) -> StepResult:
    """One step of the optimizer. batch: this process's part; slices: of the whole batch of batch_size crops."""
    head, optimizer, scaler = learner.head, learner.optimizer, learner.scaler
    set_lr(optimizer, lr)
    optimizer.zero_grad(set_to_none=True)

    head.begin_step(optimizer, torch.from_numpy(batch.labels).to(learner.device), state.step)
    sums = torch.zeros(3, device=learner.device)  # of loss, right answers, target cosines
    for place, (images, labels) in enumerate(_sliced(batch, slices, learner.device), start=1):
        with learner.gradient_sync(is_last_slice=place == len(slices)):
            embeddings = learner.forward(images)  # (b, D)
            output = head(embeddings, labels)
            loss = output.loss * (output.count / batch_size)  # ()
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        sums += _sums(output)
    head.sync_gradients()
    scaler.unscale_(optimizer)
    gradient_norm = learner.clip_gradient(settings.clip)  # ()

    loss_sum, right, cosine, gradient = *sums.tolist(), float(gradient_norm)
    mean_loss = loss_sum / batch_size
    has_overflown = scaler.is_enabled() and scaler.get_scale() > 1.0  # the step is skipped, and the scale halved
    if not math.isfinite(mean_loss) or not (math.isfinite(gradient) or has_overflown):
        where = _first_not_finite(learner, embeddings, mean_loss)
        raise NotFinite(state, lr, mean_loss, gradient, where, learner.ranks.gather_list(batch.names))

    scaler.step(optimizer)
    scaler.update()
    head.end_step(optimizer)
    if learner.average:
        learner.average.update(learner.network, state.step + 1)
    return StepResult(lr=lr, loss_sum=loss_sum, right=right, cosine=cosine, gradient=gradient)


def untrained_row(learner: Learner, batch: Batch, schedule: Schedule, settings: Settings) -> dict[str, object]:
    """The row of epoch 0, computed on the first batch before any step. batch: this process's part. The learner is
    unchanged afterwards."""
    size = int(learner.ranks.all_reduce_sum(torch.tensor(len(batch.labels))))
    slices = learner.ranks.local_slices(size, settings.accumulate)
    sums, seen = torch.zeros(3, device=learner.device), 0
    with torch.no_grad(), learner.untouched():
        learner.head.begin_step(learner.optimizer, torch.from_numpy(batch.labels).to(learner.device), 0)
        for images, labels in _sliced(batch, slices, learner.device):
            output = learner.head(learner.forward(images), labels)
            sums, seen = sums + _sums(output), seen + output.count
    return _row(TrainState(epoch=0, seen=seen, sums=sums.tolist()), schedule.rate(0), learner.head.loss)


def _sliced(batch: Batch, slices: Slices, device: torch.device) -> Iterator[tuple[NDArray[np.uint8], Tensor]]:
    """The slices of a batch: images (b, H, W, 3), labels (b,)."""
    ends = np.cumsum([len(part) for part in slices])[:-1]
    for images, labels in zip(np.split(batch.images, ends), np.split(batch.labels, ends), strict=True):
        yield images, torch.from_numpy(labels).to(device)


def _sums(output: HeadOutput) -> Tensor:
    """Sums (3,) of loss, right answers and target cosines."""
    return torch.stack([output.loss.detach() * output.count, output.right, output.cosine])


def _first_not_finite(learner: Learner, embeddings: Tensor, loss: float) -> str:
    """The first of weights, embeddings, gradient and loss that is not finite."""
    if not learner.is_finite:
        return "weights"
    if not learner.ranks.all_true(bool(torch.isfinite(embeddings).all())):
        return "embeddings"
    return "gradient" if math.isfinite(loss) else "loss"


def _row(state: TrainState, lr: float, loss: Loss) -> dict[str, object]:
    """The row of an epoch. loss: mean; lr: of the last step; accuracy: 0..1, without the margin; target_cosine: mean;
    both are None without a classifier; and the loss's own measures."""
    mean_loss, accuracy, target_cosine = (None if math.isnan(total) else total / state.seen for total in state.sums)
    return {
        "epoch": state.epoch,
        "step": state.step,
        "loss": mean_loss,
        "lr": lr,
        "accuracy": accuracy,
        "target_cosine": target_cosine,
        **loss.measures(),
    }
