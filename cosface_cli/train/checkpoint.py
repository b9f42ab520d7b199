"""The state that a run goes on from: tensors as safetensors, the rest as JSON in their header, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cosface_cli.artifacts.weights import read_metadata, read_tensors, save_tensors
from cosface_cli.backbones.loading import put, tensors_of
from cosface_cli.errors import CosfaceError
from cosface_cli.train.learner import Learner
from cosface_cli.train.loop import Progress

_KEY = "cosface-state"
_MOMENTUM = "momentum_buffer"  # torch's own name for it


def save_state(path: Path, learner: Learner, progress: Progress) -> None:
    """Write all that a run goes on from to path, whole or not at all.

    Order and augmentation of the crops follow from the seed and the progress: there is no random state to keep.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for part, module in learner.modules.items():
        tensors.update({f"{part}/{name}": tensor for name, tensor in tensors_of(module).items()})
        for name, parameter in module.named_parameters():
            momentum = learner.optimizer.state.get(parameter, {}).get(_MOMENTUM)
            if momentum is not None:
                tensors[f"momentum/{part}/{name}"] = momentum.cpu().contiguous().numpy()
    save_tensors(path, tensors, {_KEY: json.dumps(asdict(progress), sort_keys=True)})


def load_state(path: Path, learner: Learner) -> Progress:
    """Put a saved state into a learner as it was built, and give the progress. Raises CosfaceError for damage."""
    problem, mend = "the saved state is damaged or of another run", "remove the run folder to begin anew"
    tensors = read_tensors(path)
    try:
        progress = Progress(**json.loads(read_metadata(path)[_KEY]))
    except (KeyError, ValueError, TypeError):
        raise CosfaceError(problem, path, mend) from None
    for part, module in learner.modules.items():
        put(module, _under(tensors, f"{part}/"), f"{path}: {problem}")
        momenta = _under(tensors, f"momentum/{part}/")
        for name, parameter in module.named_parameters():
            if name in momenta:
                # laid out in memory as the parameter: an update then rounds as in a run that never stopped
                momentum = torch.empty_like(parameter, requires_grad=False)
                momentum.copy_(torch.from_numpy(np.array(momenta[name])))
                learner.optimizer.state[parameter][_MOMENTUM] = momentum
    return progress


def _under(tensors: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
