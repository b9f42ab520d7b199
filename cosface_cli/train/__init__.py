"""Train: a crop folder in, a run folder out.

The run folder holds weights.safetensors (all that embedding needs: the best epoch's where epochs are scored, else the
last's), last.safetensors (the last epoch's, where epochs are scored), head.safetensors (the class weights),
state/ (to go on from), metrics.jsonl (a line an epoch) and the same for TensorBoard, run.json (what was asked, and of
what data), model.onnx, report.html (to look at) and noise.jsonl (crops whose labels look wrong).
The same command again goes on where it was stopped, and ends with the same files as if it had not been.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """What to train, on which crops. None means: as the recipe says.

    aligned: crop folder, its first folder level the identity, or MXNet's .rec or WebDataset's .tar with labels of
    their own, or several of those; template: of crops without a manifest; out: run folder, None for one named after
    the settings in runs/; recipe: a name from `--list-recipes` or the path of a TOML file, None for the one that fits
    the number of people and photos.

    start: weights to begin with: "default" (the embedded network), a run folder or a .safetensors file; loss,
    backbone: names from their tables; s, m: scale and margin; loss_options: the loss's other settings by name;
    embedding_size: of the backbone. freeze: share of the network's layers, from the input on, that stay as they are;
    hold_out: share of the identities that is not trained on but scored after each epoch; blend: score mixtures of
    start and trained weights on them too; sample_rate: share of the classes in the loss of a step, those of its crops
    always among them (Partial FC, An 2021).

    epochs or steps: how long; batch: crops a step; accumulate: slices that a batch is worked through in, to save
    memory; optimizer: from OPTIMIZERS; momentum, nesterov: of SGD; lr: highest learning rate; head_lr: times that for
    the class weights; warmup: steps of linear rise; schedule: name from SCHEDULES; milestones: epochs after which the
    rate is divided by ten, or steps where steps are given; weight_decay: on every parameter; clip: largest length of
    the gradient, 0 for any; ema: decay of the average over the weights that is kept in their place, 0 for none;
    precision: from PRECISIONS; channels_last: memory order of the pictures; compile: by torch.compile; sync_bn: batch
    norm over a step's crops in all processes, not in each; min_images: identities with fewer crops are left out;
    patience: epochs without a better score before it stops, 0 for no end; keep: "best" or "last" epoch as the weights;
    sampler: name from SAMPLERS; images_per_identity: crops of each identity in a batch, for "balanced"; flip: mirror
    every other crop; augment: further changes, names from CHANGES.
    seed: of the first weights, the order and the augmentation.

    processes: that share each batch, a GPU each or the cores of the CPU, None for this one or those that torchrun
    started; loaders: processes that read crops, None for a thread beside the CPU and for up to eight beside a GPU;
    device: auto, cpu, cuda or mps; threads: of the CPU, of each process, None for all cores (of a run that goes on in
    as many processes: as before); save_seconds: time between two saved states; resume: go on with a run to another
    length; validate, validate_root: pairs file, and the crops or photos that it names, scored after each epoch; report:
    end with report.html and noise.jsonl, for which every crop is embedded once more.
    """

    aligned: Path | tuple[Path, ...] = Path("aligned")
    template: str | None = None
    out: Path | None = None
    recipe: str | None = None
    start: str | None = None
    loss: str | None = None
    s: float | None = None
    m: float | None = None
    loss_options: Mapping[str, float] | None = None
    backbone: str | None = None
    embedding_size: int | None = None
    freeze: float | None = None
    hold_out: float | None = None
    blend: bool | None = None
    sample_rate: float | None = None
    epochs: int | None = None
    steps: int | None = None
    batch: int | None = None
    accumulate: int | None = None
    optimizer: str | None = None
    momentum: float | None = None
    nesterov: bool | None = None
    lr: float | None = None
    head_lr: float | None = None
    warmup: int | None = None
    schedule: str | None = None
    milestones: tuple[int, ...] | None = None
    weight_decay: float | None = None
    clip: float | None = None
    ema: float | None = None
    precision: str | None = None
    channels_last: bool | None = None
    compile: bool | None = None
    sync_bn: bool | None = None
    min_images: int | None = None
    patience: int | None = None
    keep: str | None = None
    sampler: str | None = None
    images_per_identity: int | None = None
    flip: bool | None = None
    augment: tuple[str, ...] | None = None
    processes: int | None = None
    loaders: int | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None
    save_seconds: float = 60.0
    resume: bool = False
    validate: Path | None = None
    validate_root: Path | None = None
    report: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainReport:
    """What came of it. out: run folder; weights: the file in it for --model; model_id: hash of the weights;
    epochs: trained in all; resumed_from: the step that this run began after, None for a fresh one; last: the last
    row of metrics.jsonl; best_epoch: whose weights were kept, 0 for the start's, None where no epoch was scored;
    suspects: crops whose labels look wrong, None where there is no report."""

    out: Path
    weights: Path
    model_id: str
    identities: int
    images: int
    epochs: int
    resumed_from: int | None
    last: Mapping[str, Any] = field(default_factory=dict)
    best_epoch: int | None = None
    suspects: int | None = None
