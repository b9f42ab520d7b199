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

_KEY = "cosface-state"  # the only one: safetensors writes several in no fixed order


def save_state(path: Path, learner: Learner, progress: Progress) -> None:
    """Write all that a run goes on from to path, whole or not at all.

    Modules (the average among them), the optimizer's memory of each parameter, the scale of fp16's loss, and the
    progress. What is drawn at random follows from the seed and the progress: there is no random state to keep.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for part, module in learner.modules.items():
        tensors.update({f"{part}/{name}": tensor for name, tensor in tensors_of(module).items()})
        for name, parameter in module.named_parameters():
            for key, value in learner.optimizer.state.get(parameter, {}).items():
                if value is not None:  # torch keeps no momentum of a parameter without a gradient
                    tensors[f"optimizer/{part}/{name}/{key}"] = value.detach().cpu().contiguous().numpy()
    about = {"progress": asdict(progress), "scaler": learner.scaler.state_dict()}
    save_tensors(path, tensors, {_KEY: json.dumps(about, sort_keys=True)})


def load_state(path: Path, learner: Learner) -> Progress:
    """Put a saved state into a learner as it was built, and give the progress. Raises CosfaceError for damage."""
    problem, mend = "the saved state is damaged or of another run", "remove the run folder to begin anew"
    tensors = read_tensors(path)
    try:
        about = json.loads(read_metadata(path)[_KEY])
        progress = Progress(**about["progress"])
        learner.scaler.load_state_dict(about["scaler"])  # empty, and without effect, where it is not in use
    except (KeyError, ValueError, TypeError, RuntimeError):
        raise CosfaceError(problem, path, mend) from None
    for part, module in learner.modules.items():
        put(module, _under(tensors, f"{part}/"), f"{path}: {problem}")
        memory = _under(tensors, f"optimizer/{part}/")
        for name, parameter in module.named_parameters():
            for key, value in _under(memory, f"{name}/").items():
                learner.optimizer.state[parameter][key] = _beside(parameter, value)
    return progress


def _beside(parameter: torch.Tensor, value: NDArray[Any]) -> torch.Tensor:
    """An optimizer's tensor, laid out in memory as its parameter: an update then rounds as in a run that never
    stopped. AdamW's count of steps has no layout, and stays on the CPU as torch keeps it."""
    found = torch.from_numpy(np.array(value))
    if found.shape != parameter.shape:
        return found
    out = torch.empty_like(parameter, dtype=found.dtype, requires_grad=False)
    return out.copy_(found)


def _under(tensors: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
