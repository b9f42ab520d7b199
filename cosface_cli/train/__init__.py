"""Train: a crop folder in, a run folder out.

The run folder holds weights.safetensors (all that embedding needs), head.safetensors (the class weights),
state/ (to go on from), metrics.jsonl (a line an epoch), run.json (what was asked, and of what data) and model.onnx.
The same command again goes on where it was stopped, and ends with the same files as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What to train, on which crops.

    aligned: crop folder, its first folder level the identity, or MXNet's .rec or WebDataset's .tar with labels of their
    own, or several of those; template: of crops without a manifest; out: run
    folder, None for one named after the settings in runs/; loss, backbone: names from their tables; s, m: scale and
    cosine margin, None for the loss's own; embedding_size: None for the backbone's own.

    epochs: passes over the crops; batch: crops a step; lr: highest learning rate; warmup: steps of linear rise, None
    for the first epoch's, at most 200; schedule: name from SCHEDULES, None for step where milestones are given and
    cosine else; milestones: epochs after which the rate is divided by ten; weight_decay: on every parameter; clip:
    largest length of the gradient; min_images: identities with fewer crops are left out; seed: of the first weights,
    the order and the augmentation.

    sampler: name from SAMPLERS; images_per_identity: crops of each identity in a batch, for "balanced", None for 4;
    flip: mirror every other crop; augment: further changes, names from CHANGES; loaders: processes that read crops,
    None for a thread beside the CPU and for up to eight beside a GPU.

    device: auto, cpu, cuda or mps; threads: of the CPU, None for all cores (of a run that goes on: as before);
    save_seconds: time between two saved states; resume: go on with a run although its epochs were fewer; validate,
    validate_root: pairs file, and the crops or photos that it names, scored after each epoch.
    """

    aligned: Path | tuple[Path, ...] = Path("aligned")
    template: str | None = None
    out: Path | None = None
    loss: str = "cosface"
    s: float | None = None
    m: float | None = None
    backbone: str = "mobilefacenet"
    embedding_size: int | None = None
    epochs: int = 20
    batch: int = 64
    lr: float = 0.1
    warmup: int | None = None
    schedule: str | None = None
    milestones: tuple[int, ...] = ()
    weight_decay: float = 5e-4
    clip: float = 5.0
    min_images: int = 1
    sampler: str = "shuffled"
    images_per_identity: int | None = None
    flip: bool = True
    augment: tuple[str, ...] = ()
    loaders: int | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    save_seconds: float = 60.0
    resume: bool = False
    validate: Path | None = None
    validate_root: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What came of it. out: run folder; weights: the file in it for --model; model_id: hash of the weights;
    epochs: trained in all; resumed_from: the step that this run began after, None for a fresh one; last: the last
    row of metrics.jsonl."""

    out: Path
    weights: Path
    model_id: str
    identities: int
    images: int
    epochs: int
    resumed_from: int | None
    last: Mapping[str, Any] = field(default_factory=dict)
