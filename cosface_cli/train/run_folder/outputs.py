"""What a run writes for others to read: weights with their header, class weights, the rows of its epochs, and the crops
that stopped it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from cosface_cli.artifacts.files.atomic import write_text
from cosface_cli.artifacts.run.run_record import RunFolder, RunRecord, write_metrics
from cosface_cli.artifacts.run.tensorboard_events import write_events
from cosface_cli.artifacts.run.weights import Weights, save_tensors, save_weights, tensors_id
from cosface_cli.backbones.loading import tensors_of
from cosface_cli.engines.models.starting_weights import Start
from cosface_cli.errors import CosfaceError
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.learner import Learner
from cosface_cli.train.step.loop import NotFinite

_NAMED_CROPS = 3  # in the line on the terminal; stopped.json names the whole batch

_CAUSES = {  # by what stopped being a number first
    "weights": "the weights ran away: lower --lr",
    "embeddings": "the network's output is too large: lower --lr, or a longer --warmup",
    "loss": "the loss's own settings: lower --s or --m",
    "gradient": "the gradient is too steep: lower --lr or --s",
}
_HALF = "fp16 holds nothing above 65,504: --precision bf16 or fp32"


def write_weights(
    folder: RunFolder,
    learner: Learner,
    settings: Settings,
    record: RunRecord,
    threshold: float | None,
    start: Start | None,
    kept: bool,
) -> None:
    """Write the shown network as weights.safetensors with its head.safetensors where it is to be kept, and as
    last.safetensors where epochs are scored: the first process does, the others give it their class weights.

    threshold: the cosine from which two crops count as one person, None where no pairs were scored; start: what the
    run began with, whose licence and lineage go on.
    """
    of_head = learner.modules["head"].state_dict().items() if kept else ()
    head = {name: learner.head.whole(tensor).numpy() for name, tensor in of_head}
    if not learner.ranks.is_first:
        return
    tensors = tensors_of(learner.shown)
    header = _header(learner, settings, record, tensors, threshold, start)
    if settings.is_scored:
        save_weights(folder.last, tensors, header)
    if kept:
        save_weights(folder.weights, tensors, header)
        save_tensors(folder.head, head, {"model_id": header.model_id})


def write_rows(folder: RunFolder, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of the epochs so far as metrics.jsonl, and for TensorBoard where that is installed."""
    write_metrics(folder.metrics, rows)
    write_events(folder.events, rows)


def _header(
    learner: Learner,
    settings: Settings,
    record: RunRecord,
    tensors: Mapping[str, NDArray[Any]],
    threshold: float | None,
    start: Start | None,
) -> Weights:
    backbone = learner.backbone
    return Weights(
        backbone=settings.backbone,
        embedding_size=settings.embedding_size,
        template=backbone.template,
        model_id=tensors_id(tensors),
        mean=backbone.mean,
        std=backbone.std,
        loss={"name": settings.loss, **settings.head},
        identities=len(record.identities),
        data={name: record.data[name] for name in ("fingerprint", "crops")},
        licence=start.licence if start else None,
        lineage=start.lineage if start else (),
        threshold=threshold,
    )


def stopped(folder: RunFolder, error: NotFinite, settings: Settings, best_epoch: int | None) -> CosfaceError:
    """Write what stopped the run to stopped.json, and give the line that says so with the likely cause."""
    half = settings.precision == "fp16" and error.where in ("embeddings", "gradient")
    cause = _HALF if half else _CAUSES[error.where]
    facts = {
        "steps_done": error.step,
        "epoch": error.epoch,
        "lr": error.lr,
        "loss": repr(error.loss),
        "gradient": repr(error.gradient),
        "where": error.where,
        "cause": cause,
        "crops": error.names,
    }
    write_text(folder.stopped, json.dumps(facts, indent=1) + "\n")
    named = ", ".join(error.names[:_NAMED_CROPS])
    more = len(error.names) - _NAMED_CROPS
    crops = f", crops {named}" + (f" and {more} more in {folder.stopped.name}" if more > 0 else "") if named else ""
    last = error.epoch - 1 if settings.keep == "last" else best_epoch
    kept = f"the weights of epoch {last} are kept" if last else "no epoch was finished"
    if last == 0 and settings.start:
        kept = "the start's weights are kept"
    return CosfaceError(
        f"stopped after step {error.step} in epoch {error.epoch}, lr {error.lr:g}: loss {error.loss:g}, "
        f"gradient {error.gradient:g}{crops}; {kept}; likely {cause}",
        folder.root,
        "choose another --out for that",
    )
