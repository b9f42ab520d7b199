"""Passes whose gradients are discarded."""

from __future__ import annotations

import torch

from cosface_cli.train.crops.dataset import Batch
from cosface_cli.train.step.learner import Learner


def discarded_pass(learner: Learner, batch: Batch, size: int) -> None:
    """Forward and backward over the first crops of a batch. It changes what `learner.untouched()` restores."""
    labels = torch.from_numpy(batch.labels[:size]).to(learner.device)  # (b,)
    learner.optimizer.zero_grad(set_to_none=True)
    learner.head.begin_step(learner.optimizer, labels, 0)
    loss = learner.head(learner.forward(batch.images[:size]), labels).loss  # ()
    learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    learner.optimizer.zero_grad(set_to_none=True)


def warm_up_ddp(learner: Learner, batch: Batch) -> None:
    """One pass before a resumed run. After its first pass DDP sums the gradients in another order of buckets, and a
    resumed run needs that order from its first step on."""
    with learner.untouched():
        discarded_pass(learner, batch, len(batch.labels))
