"""Crops to unit vectors by a network in training: without augmentation, in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cosface_cli.maths.geometry import Template
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.train.crops.augment import UNCHANGED
from cosface_cli.train.crops.dataset import CropReader
from cosface_cli.train.crops.loader import Loader
from cosface_cli.train.crops.records import LabelledCrop
from cosface_cli.train.step.learner import Learner

BATCH = 64
_AHEAD = 2  # batches that are read while the network works


def embedded(
    learner: Learner,
    crops: Sequence[LabelledCrop],
    shape: Template,
    chosen: NDArray[np.int64],
    loader: Loader,
) -> Iterator[NDArray[np.float32]]:
    """The vectors (b, D) of the chosen crops by the learner's eval_network, BATCH after BATCH.

    A vector of length 0, or one that is not finite, is returned unchanged.
    """
    reader = CropReader(crops, shape, 0, UNCHANGED)
    tasks = ((0, chosen[begin : begin + BATCH]) for begin in range(0, len(chosen), BATCH))
    for images in loader.read(tasks, reader, _AHEAD):
        yield unit_length(learner.embed(images))


@contextmanager
def evaluating(learner: Learner, network: nn.Module) -> Iterator[None]:
    """Within this context the learner embeds by another network of its backbone."""
    before = learner.eval_network
    learner.eval_network = network.to(learner.device).to(memory_format=learner.memory_format)  # type: ignore[call-overload]
    try:
        with torch.no_grad():
            yield
    finally:
        learner.eval_network = before
