"""The training loop, from top to bottom."""

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
from cosface_cli.train.heads.whole import Answer
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.learner import Learner
from cosface_cli.train.step.optimizer import set_rate
from cosface_cli.train.step.schedule import Schedule

_DRAWS = 2  # a stream of random numbers beside those of the data: what a head or dropout draws in a step


@dataclass(slots=True)
class TrainState:
    """How far a run is. epoch: the one in work, from 1; position: its batches done; step: all batches done; seen:
    the epoch's crops so far, and over them the sums of loss, right answers without the margin, target cosines; best,
    best_epoch: the highest score so far and whose it was."""

    epoch: int = 1
    position: int = 0
    step: int = 0
    seen: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    best: float | None = None
    best_epoch: int | None = None

    def take(self, epoch: int, score: float) -> bool:
        """Note an epoch's score; whether it is the best so far. Of equals the earlier stays."""
        if self.best is not None and score <= self.best:
            return False
        self.best, self.best_epoch = score, epoch
        return True


class NotFinite(Exception):
    """The loss, its gradient or the network is no number any more. where: weights, embeddings, loss or gradient,
    the first of them."""

    def __init__(
        self, progress: TrainState, lr: float, loss: float, gradient: float, where: str, names: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"loss {loss}, gradient {gradient} after step {progress.step}")
        self.epoch, self.step = progress.epoch, progress.step
        self.lr, self.loss, self.gradient, self.where, self.names = lr, loss, gradient, where, names


def fit(
    learner: Learner,
    data: LabelledCrops,
    schedule: Schedule,
    settings: Settings,
    progress: TrainState,
    after_step: Callable[[], None],
) -> Iterator[dict[str, Any]]:
    """Train from where progress stands to the schedule's last step; gives the row of each epoch at its end.

    Where processes share a run, each works on its part of every batch; loss, gradient and row are those of the whole.
    Raises NotFinite before the step that would spoil the network.
    """
    head, optimizer, scaler, ranks = learner.head, learner.optimizer, learner.scaler, learner.ranks
    parts = ranks.parts(data.batch_size, settings.accumulate)  # what this process takes of a batch, by slice

    while progress.step < schedule.steps:
        for batch in data.batches(progress.epoch, progress.position, part=np.concatenate(parts)):
            lr = schedule.rate(progress.step)
            set_rate(optimizer, lr)
            torch.manual_seed(_drawn(settings.seed, progress.step))

            optimizer.zero_grad(set_to_none=True)
            head.begin(optimizer, torch.from_numpy(batch.labels).to(learner.device), progress.step)
            sums = torch.zeros(3, device=learner.device)  # of loss, right answers, target cosines
            for place, (images, labels) in enumerate(_slices(batch, parts, learner.device), start=1):
                with learner.summing(now=place == len(parts)):
                    embeddings = learner.forward(images)  # (b, D)
                    answer = head(embeddings, labels)
                    loss = answer.loss * (answer.count / data.batch_size)  # ()
                    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                sums += _sums(answer)
            head.agree()
            scaler.unscale_(optimizer)
            gradient = learner.clip(settings.clip)  # ()

            loss_sum, right, cosine, gradient_now = *sums.tolist(), float(gradient)
            loss_now = loss_sum / data.batch_size
            overflown = scaler.is_enabled() and scaler.get_scale() > 1.0  # is left out, with a smaller scale next
            if not math.isfinite(loss_now) or not (math.isfinite(gradient_now) or overflown):
                where = _broken(learner, embeddings, loss_now)
                raise NotFinite(progress, lr, loss_now, gradient_now, where, ranks.lists(batch.names))
            scaler.step(optimizer)
            scaler.update()
            head.end(optimizer)
            if learner.average:
                learner.average.update(learner.network, progress.step + 1)

            progress.seen += data.batch_size
            progress.sums = [a + b for a, b in zip(progress.sums, (loss_sum, right, cosine), strict=True)]
            progress.position += 1
            progress.step += 1
            if progress.step == schedule.steps:
                break
            if progress.position < data.steps:
                after_step()
        if not learner.is_finite:
            raise NotFinite(progress, lr, loss_now, gradient_now, "weights", ranks.lists(batch.names))

        row = _row(progress, lr, head.loss)
        if progress.position == data.steps:  # else the last epoch is one in part, and may be gone on with
            progress.epoch, progress.position, progress.seen, progress.sums = progress.epoch + 1, 0, 0, [0.0, 0.0, 0.0]
        yield row


def untrained_row(learner: Learner, batch: Batch, schedule: Schedule, settings: Settings) -> dict[str, Any]:
    """The row of epoch 0: the first batch, of which this process has its part, before any step. The learner is left as
    it was."""
    size = int(learner.ranks.sum(torch.tensor(len(batch.labels))))
    parts = learner.ranks.parts(size, settings.accumulate)
    torch.manual_seed(_drawn(settings.seed, 0))
    sums, seen = torch.zeros(3, device=learner.device), 0
    with torch.no_grad(), learner.untouched():
        learner.head.begin(learner.optimizer, torch.from_numpy(batch.labels).to(learner.device), 0)
        for images, labels in _slices(batch, parts, learner.device):
            answer = learner.head(learner.forward(images), labels)
            sums, seen = sums + _sums(answer), seen + answer.count
    return _row(TrainState(epoch=0, seen=seen, sums=sums.tolist()), schedule.rate(0), learner.head.loss)


def _slices(batch: Batch, parts: list[NDArray[np.int64]], device: torch.device) -> Iterator[tuple[Any, Tensor]]:
    """A batch in slices of as many crops as the parts have: images (b, H, W, 3), labels (b,)."""
    ends = np.cumsum([len(part) for part in parts])[:-1]
    images, labels = np.split(batch.images, ends), np.split(batch.labels, ends)
    return ((some, torch.from_numpy(theirs).to(device)) for some, theirs in zip(images, labels, strict=True))


def _drawn(seed: int, step: int) -> int:
    """The seed of what is drawn within a step, so that a run can go on from any."""
    return int(np.random.SeedSequence([seed, _DRAWS, step]).generate_state(1, np.uint64)[0] >> 1)


def _sums(answer: Answer) -> Tensor:
    """Sums (3,) of loss, right answers and target cosines."""
    return torch.stack([answer.loss.detach() * answer.count, answer.right, answer.cosine])


def _broken(learner: Learner, embeddings: Tensor, loss: float) -> str:
    """What stopped being a number first."""
    if not learner.is_finite:
        return "weights"
    if not learner.ranks.every(bool(torch.isfinite(embeddings).all())):
        return "embeddings"
    return "gradient" if math.isfinite(loss) else "loss"


def _row(progress: TrainState, lr: float, head: Loss) -> dict[str, Any]:
    """loss: mean; lr: of the last step; accuracy: 0..1, without the margin; target_cosine: mean, both None without a
    classifier; and what the loss itself measures."""
    loss, right, cosine = (None if math.isnan(total) else total / progress.seen for total in progress.sums)
    return {
        "epoch": progress.epoch,
        "step": progress.step,
        "loss": loss,
        "lr": lr,
        "accuracy": right,
        "target_cosine": cosine,
        **head.measures(),
    }
