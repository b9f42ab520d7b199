"""Mixtures of the start's weights and the trained ones (WiSE-FT, Wortsman 2022).

Training on a few hundred people makes a network better on these people and worse on strangers. A mixture of both
weights is better on both; its share is chosen on held-out people.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cosface_cli.train.scoring.hold_out import HeldOut, HeldOutScore, score
from cosface_cli.train.step.learner import Learner

SHARES = (0.25, 0.5, 0.75, 1.0)


def blended(network: nn.Module, start: Mapping[str, NDArray[np.generic]], share: float) -> nn.Module:
    """start + share (network - start) as a new network, in evaluation mode; share 1 is the network itself."""
    mixed = copy.deepcopy(network).eval().requires_grad_(False)
    for name, tensor in mixed.state_dict().items():
        if tensor.is_floating_point() and share < 1:
            first = torch.from_numpy(start[name].copy()).to(tensor.device)
            tensor.copy_(first + share * (tensor - first))
    return mixed


def best_blend(
    learner: Learner, start: Mapping[str, NDArray[np.generic]], held_out: HeldOut
) -> tuple[float, HeldOutScore]:
    """Set eval_network to the mixture with the highest score on the held-out people; returns its share and score. Of
    equal scores, the mixture nearest to the start is used."""
    trained = learner.trained_network
    best: tuple[float, HeldOutScore, nn.Module] | None = None
    for share in SHARES:
        learner.eval_network = blended(trained, start, share)
        result = score(learner.embed, held_out)
        if best is None or result.score > best[1].score:
            best = share, result, learner.eval_network
    assert best is not None
    learner.eval_network = best[2]
    return best[0], best[1]
