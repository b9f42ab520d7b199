"""What a run writes for others to read: weights with their header, class weights, the crops that stopped it."""

from __future__ import annotations

import json

from cosface_cli.artifacts.atomic import write_text
from cosface_cli.artifacts.run_record import RunFolder, RunRecord
from cosface_cli.artifacts.weights import Weights, save_tensors, save_weights, tensors_id
from cosface_cli.backbones.loading import tensors_of
from cosface_cli.errors import CosfaceError
from cosface_cli.train.learner import Learner
from cosface_cli.train.loop import NotFinite
from cosface_cli.train.settings import Settings

_NAMED_CROPS = 3  # in the line on the terminal; stopped.json names the whole batch


def write_weights(
    folder: RunFolder,
    learner: Learner,
    settings: Settings,
    record: RunRecord,
    threshold: float | None,
) -> str:
    """Write weights.safetensors and head.safetensors; gives the model id.

    threshold: the cosine from which two crops count as one person, None where no pairs were scored.
    """
    backbone, tensors = learner.backbone, tensors_of(learner.network)
    header = Weights(
        backbone=settings.backbone,
        embedding_size=settings.embedding_size,
        template=backbone.template,
        model_id=tensors_id(tensors),
        mean=backbone.mean,
        std=backbone.std,
        loss={"name": settings.loss, **settings.head},
        identities=len(record.identities),
        data={name: record.data[name] for name in ("fingerprint", "crops")},
        threshold=threshold,
    )
    save_weights(folder.weights, tensors, header)
    save_tensors(folder.head, tensors_of(learner.modules["head"]), {"model_id": header.model_id})
    return header.model_id


def stopped(folder: RunFolder, error: NotFinite) -> CosfaceError:
    """Write what stopped the run to stopped.json, and give the line that says so."""
    facts = {
        "steps_done": error.step,
        "epoch": error.epoch,
        "lr": error.lr,
        "loss": repr(error.loss),
        "gradient": repr(error.gradient),
        "crops": error.names,
    }
    write_text(folder.stopped, json.dumps(facts, indent=1) + "\n")
    named = ", ".join(error.names[:_NAMED_CROPS])
    more = len(error.names) - _NAMED_CROPS
    crops = f", crops {named}" + (f" and {more} more in {folder.stopped.name}" if more > 0 else "") if named else ""
    kept = f"the weights of epoch {error.epoch - 1} are kept" if error.epoch > 1 else "no epoch was finished"
    return CosfaceError(
        f"stopped after step {error.step} in epoch {error.epoch}, lr {error.lr:g}: loss {error.loss:g}, "
        f"gradient {error.gradient:g}{crops}; {kept}",
        folder.root,
        "lower --lr and choose another --out",
    )
