"""Networks by name: freshly drawn, or with weights that were read from a file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cosface_cli.backbones import BACKBONES, Backbone
from cosface_cli.errors import CosfaceError


def declaration(name: str) -> Backbone:
    """What the backbone of that name takes and gives. Raises CosfaceError with the near miss."""
    found: Backbone = BACKBONES.load(name)
    return found


def build(name: str, embedding_size: int, seed: int) -> nn.Module:
    """A network whose weights are drawn from that seed; torch's own random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return declaration(name)(embedding_size)


def load(name: str, embedding_size: int, tensors: Mapping[str, NDArray[np.generic]]) -> nn.Module:
    """The network of that name with these weights, ready to embed. Raises CosfaceError where they do not fit it."""
    network = build(name, embedding_size, seed=0)
    put(network, tensors, f"these weights do not fit the backbone {name!r} with embedding size {embedding_size}")
    return network.eval()


def fits(name: str, embedding_size: int, tensors: Mapping[str, NDArray[np.generic]]) -> bool:
    """Whether tensors are those of that network, by name and shape. Nothing of its size is built."""
    with torch.device("meta"):
        state = declaration(name)(embedding_size).state_dict()
    return {key: tuple(t.shape) for key, t in state.items()} == {key: t.shape for key, t in tensors.items()}


def put(module: nn.Module, tensors: Mapping[str, NDArray[np.generic]], problem: str) -> None:
    """Copy tensors by name into a module, in place. Raises CosfaceError(problem) where names or shapes differ."""
    state = {name: torch.from_numpy(np.array(tensor)) for name, tensor in tensors.items()}
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise CosfaceError(problem, hint="give the weights that were written with it") from error


def tensors_of(module: nn.Module) -> dict[str, NDArray[np.generic]]:
    """The module's parameters and buffers by name, as arrays on the CPU."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in module.state_dict().items()}
