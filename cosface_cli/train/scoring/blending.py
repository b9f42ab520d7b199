"""Mixtures of the weights that a network began with and those it came to (WiSE-FT, Wortsman 2022).

A few hundred people teach a network those people and cost it strangers. On the way between the two lie weights that
know both better, and people held out tell where.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from cosface_cli.train.scoring.hold_out import HeldOut, HeldOutScore, score
from cosface_cli.train.step.learner import Learner

SHARES = (0.25, 0.5, 0.75, 1.0)


def blended(network: nn.Module, start: Mapping[str, NDArray[Any]], share: float) -> nn.Module:
    """start + share (network - start) as a network of its own, in evaluation; share 1 is the network itself."""
    mixed = copy.deepcopy(network).eval().requires_grad_(False)
    for name, tensor in mixed.state_dict().items():
        if tensor.is_floating_point():
            first = torch.from_numpy(start[name].copy()).to(tensor.device)
            tensor.copy_(first + share * (tensor - first) if share < 1 else tensor)
    return mixed


def best_blend(learner: Learner, start: Mapping[str, NDArray[Any]], held: HeldOut) -> tuple[float, HeldOutScore]:
    """Show the mixture that scores highest on the people held out; its share and score. Of equals the one nearest to
    the start is taken."""
    trained = learner.trained_network
    best: tuple[float, HeldOutScore, nn.Module] | None = None
    for share in SHARES:
        learner.eval_network = blended(trained, start, share)
        found = score(learner.embed, held)
        if best is None or found.score > best[1].score:
            best = share, found, learner.eval_network
    assert best is not None
    learner.eval_network = best[2]
    return best[0], best[1]
