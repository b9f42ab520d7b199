"""Run folders for tests that need weights, not good ones."""

from __future__ import annotations

from pathlib import Path

import torch

from cosface_cli.artifacts.run.weights import Weights, save_weights, tensors_id
from cosface_cli.backbones.build_backbone import build, declaration, tensors_of


def a_run(folder: Path, backbone: str, **changed: object) -> Path:
    """A run folder with freshly drawn weights, whose batch norms have seen something."""
    network = build(backbone, 32, 0)
    random = torch.Generator().manual_seed(1)
    for name, buffer in network.named_buffers():
        if buffer.is_floating_point():
            spread = torch.rand(buffer.shape, generator=random)
            buffer.copy_(spread + 0.5 if "var" in name else spread - 0.5)
    tensors, declared = tensors_of(network), declaration(backbone)
    header = {"template": declared.template, "mean": declared.mean, "std": declared.std, **changed}
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(
        folder / "weights.safetensors",
        tensors,
        Weights(backbone=backbone, embedding_size=32, model_id=tensors_id(tensors), **header),
    )  # type: ignore[arg-type]
    return folder
