"""The state that a run resumes from: tensors as safetensors, the rest as JSON in their header, nothing pickled."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cosface_cli.artifacts.run.weights import read_metadata, read_tensors, save_tensors
from cosface_cli.backbones.build_backbone import put
from cosface_cli.errors import CosfaceError
from cosface_cli.train.heads.whole import optimizer_state_of
from cosface_cli.train.step.learner import Learner
from cosface_cli.train.step.loop import TrainState

_KEY = "cosface-state"  # a single key, because safetensors writes several in random order


class Checkpoints:
    """Saves the state of a run: at the end of each epoch, and within an epoch every `seconds` seconds."""

    def __init__(self, path: Path, learner: Learner, state: TrainState, seconds: float) -> None:
        self.path, self.learner, self.state, self.seconds = path, learner, state, seconds
        self.saved_at = time.monotonic()

    def save(self) -> None:
        """Save the state now."""
        save_state(self.path, self.learner, self.state)
        self.saved_at = time.monotonic()

    def save_if_due(self) -> None:
        """Save the state if the interval has passed and every number is finite. All processes call it."""
        is_due = time.monotonic() - self.saved_at >= self.seconds
        if self.learner.ranks.broadcast_bool(is_due) and self.learner.is_finite:
            self.save()


def save_state(path: Path, learner: Learner, state: TrainState) -> None:
    """Write the state that a run resumes from to path, completely or not at all. The other processes send their parts
    to rank 0, which writes, so that the run can resume in any number of processes.

    The state has the modules (with the average), the optimizer's state of each parameter, the scale of fp16's loss, and
    the progress. Random draws are functions of the seed and the progress, so there is no random state.
    """
    tensors: dict[str, NDArray[np.generic]] = {}
    for part, module in learner.modules.items():
        for name, tensor in module.state_dict().items():
            tensors[f"{part}/{name}"] = _gathered(learner, part, tensor)
    optimizer_states = {
        "network": optimizer_state_of(learner.network, learner.optimizer),
        "head": learner.head.optimizer_state(learner.optimizer),
    }
    for part, optimizer_state in optimizer_states.items():
        for name, entries in optimizer_state.items():
            for key in sorted(entries):  # gathering needs the same order in all processes
                tensors[f"optimizer/{part}/{name}/{key}"] = _gathered(learner, part, entries[key])
    metadata = {"progress": asdict(state), "scaler": learner.scaler.state_dict()}
    if learner.ranks.is_main:
        save_tensors(path, tensors, {_KEY: json.dumps(metadata, sort_keys=True)})


def load_state(path: Path, learner: Learner) -> TrainState:
    """Load a saved state into a newly built learner; returns the progress. Only rank 0 reads the file. Raises
    CosfaceError for damage."""
    ranks, head = learner.ranks, learner.head
    problem, hint = "the saved state is damaged or of another run", "remove the run folder to begin again"
    saved = read_tensors(path) if ranks.is_main else {}
    try:
        metadata = json.loads(ranks.broadcast_object(read_metadata(path)[_KEY] if ranks.is_main else ""))
        state = TrainState(**metadata["progress"])
        learner.scaler.load_state_dict(metadata["scaler"])  # empty and without effect if the scaler is not used
    except (KeyError, ValueError, TypeError, RuntimeError):
        raise CosfaceError(problem, path, hint) from None
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, tensor in ranks.broadcast_arrays(saved):
        tensors[name] = head.local_rows(tensor) if name.startswith(("head/", "optimizer/head/")) else tensor
    for part, module in learner.modules.items():
        put(module, _under(tensors, f"{part}/"), f"{path}: {problem}")
    of_network = _under(tensors, "optimizer/network/")
    for name, parameter in learner.network.named_parameters():
        for key, value in _under(of_network, f"{name}/").items():
            learner.optimizer.state[parameter][key] = _laid_out_as(parameter, value)
    for path_in_head, value in _under(tensors, "optimizer/head/").items():
        name, _, key = path_in_head.rpartition("/")
        head.load_optimizer_state(learner.optimizer, name, key, torch.from_numpy(np.array(value)))
    return state


def _gathered(learner: Learner, part: str, tensor: torch.Tensor) -> NDArray[np.generic]:
    """The whole tensor, on rank 0."""
    whole = learner.head.gather_rows(tensor) if part == "head" else tensor.detach().cpu().contiguous()
    return whole.numpy()


def _laid_out_as(parameter: torch.Tensor, value: NDArray[np.generic]) -> torch.Tensor:
    """An optimizer's tensor in the memory layout of its parameter: an update then rounds as in a run that was not
    interrupted. AdamW's step count has no layout, and stays on the CPU as torch keeps it."""
    tensor = torch.from_numpy(np.array(value))
    if tensor.shape != parameter.shape:
        return tensor
    out = torch.empty_like(parameter, dtype=tensor.dtype, requires_grad=False)
    return out.copy_(tensor)


def _under(tensors: Mapping[str, NDArray[np.generic]], prefix: str) -> dict[str, NDArray[np.generic]]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
