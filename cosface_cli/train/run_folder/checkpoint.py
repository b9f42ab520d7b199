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

from cosface_cli.artifacts.run.weights import read_metadata, read_tensors, save_tensors
from cosface_cli.backbones.loading import put
from cosface_cli.errors import CosfaceError
from cosface_cli.train.heads.whole import memory_of
from cosface_cli.train.step.learner import Learner
from cosface_cli.train.step.loop import TrainState

_KEY = "cosface-state"  # the only one: safetensors writes several in no fixed order


def save_state(path: Path, learner: Learner, progress: TrainState) -> None:
    """Write all that a run goes on from to path, whole or not at all: the first process does, the others give it their
    part, so that the run can go on in any number of them.

    Modules (the average among them), the optimizer's memory of each parameter, the scale of fp16's loss, and the
    progress. What is drawn at random follows from the seed and the progress: there is no random state to keep.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for part, module in learner.modules.items():
        for name, tensor in module.state_dict().items():
            tensors[f"{part}/{name}"] = _whole(learner, part, tensor)
    memories = {
        "network": memory_of(learner.network, learner.optimizer),
        "head": learner.head.memory(learner.optimizer),
    }
    for part, memory in memories.items():
        for name, kept in memory.items():
            for key in sorted(kept):  # in one order everywhere: each is put together by all
                tensors[f"optimizer/{part}/{name}/{key}"] = _whole(learner, part, kept[key])
    about = {"progress": asdict(progress), "scaler": learner.scaler.state_dict()}
    if learner.ranks.is_first:
        save_tensors(path, tensors, {_KEY: json.dumps(about, sort_keys=True)})


def load_state(path: Path, learner: Learner) -> TrainState:
    """Put a saved state into a learner as it was built, and give the progress. Only the first process reads the file.
    Raises CosfaceError for damage."""
    ranks, head = learner.ranks, learner.head
    problem, hint = "the saved state is damaged or of another run", "remove the run folder to begin anew"
    found = read_tensors(path) if ranks.is_first else {}
    try:
        about = json.loads(ranks.told(read_metadata(path)[_KEY] if ranks.is_first else ""))
        progress = TrainState(**about["progress"])
        learner.scaler.load_state_dict(about["scaler"])  # empty, and without effect, where it is not in use
    except (KeyError, ValueError, TypeError, RuntimeError):
        raise CosfaceError(problem, path, hint) from None
    tensors: dict[str, NDArray[Any]] = {}
    for name, tensor in ranks.shared(found):
        tensors[name] = head.mine(tensor) if name.startswith(("head/", "optimizer/head/")) else tensor
    for part, module in learner.modules.items():
        put(module, _under(tensors, f"{part}/"), f"{path}: {problem}")
    memory = _under(tensors, "optimizer/network/")
    for name, parameter in learner.network.named_parameters():
        for key, value in _under(memory, f"{name}/").items():
            learner.optimizer.state[parameter][key] = _beside(parameter, value)
    for place, value in _under(tensors, "optimizer/head/").items():
        name, _, key = place.rpartition("/")
        head.remember(learner.optimizer, name, key, torch.from_numpy(np.array(value)))
    return progress


def _whole(learner: Learner, part: str, tensor: torch.Tensor) -> NDArray[Any]:
    """The tensor in whole on the CPU of the first process."""
    found = learner.head.whole(tensor) if part == "head" else tensor.detach().cpu().contiguous()
    return found.numpy()


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
