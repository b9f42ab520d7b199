"""The first class weights of a network that was trained before: the mean of each person's embeddings.

Random class weights would distort a good network until they are near their people.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from cosface_cli.train.crops.dataset import LabelledCrops
from cosface_cli.train.scoring.crop_vectors import embedded
from cosface_cli.train.step.learner import Learner

_MOST = 8  # crops of a person that are used


def begin_at_centres(learner: Learner, data: LabelledCrops) -> bool:
    """Set this process's class weights (C, D) to unit means of unit embeddings; returns False if the loss has no such
    weights."""
    weight, people = learner.head.loss.weight, learner.head.rows
    if weight is None or weight.ndim != 2:
        return False
    chosen = np.concatenate([np.flatnonzero(data.labels == person)[:_MOST] for person in people])
    sums = torch.zeros(weight.shape)
    begin = 0
    for vectors in embedded(learner, data.crops, data.template, chosen, data.loader):
        labels = data.labels[chosen[begin : begin + len(vectors)]]
        sums.index_add_(0, torch.from_numpy(labels - people.start), torch.from_numpy(vectors))
        begin += len(vectors)
    with torch.no_grad():
        weight.copy_(F.normalize(sums))
    return True
