"""A run that stopped because a number was not finite: its stopped.json, and the error."""

from __future__ import annotations

import json

from cosface_cli.artifacts.files.atomic import write_text
from cosface_cli.artifacts.run.run_record import RunFolder
from cosface_cli.errors import CosfaceError
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.loop import NotFinite

_NAMED_CROPS = 3  # in the error; stopped.json names the whole batch

_CAUSES = {  # by the first of these that was not finite
    "weights": "the weights diverged: lower --lr",
    "embeddings": "the network's output is too large: lower --lr, or a longer --warmup",
    "loss": "the loss's own settings: lower --s or --m",
    "gradient": "the gradient is too steep: lower --lr or --s",
}
_HALF = "fp16 holds no number above 65,504: --precision bf16 or fp32"


def write_stopped(folder: RunFolder, error: NotFinite, settings: Settings, best_epoch: int | None) -> CosfaceError:
    """Write the cause of the stop to stopped.json; returns the error with the likely cause."""
    is_overflow = settings.precision == "fp16" and error.where in ("embeddings", "gradient")
    cause = _HALF if is_overflow else _CAUSES[error.where]
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
    return CosfaceError(
        f"stopped after step {error.step} in epoch {error.epoch}, lr {error.lr:g}: loss {error.loss:g}, "
        f"gradient {error.gradient:g}{_crops(folder, error.names)}; {_kept(error, settings, best_epoch)}; "
        f"likely {cause}",
        folder.root,
        "choose another --out for that",
    )


def _crops(folder: RunFolder, names: tuple[str, ...]) -> str:
    if not names:
        return ""
    more = len(names) - _NAMED_CROPS
    words = f", crops {', '.join(names[:_NAMED_CROPS])}"
    return f"{words} and {more} more in {folder.stopped.name}" if more > 0 else words


def _kept(error: NotFinite, settings: Settings, best_epoch: int | None) -> str:
    """Which weights the run folder has."""
    epoch = error.epoch - 1 if settings.keep == "last" else best_epoch
    if epoch == 0 and settings.start:
        return "the start's weights are kept"
    return f"the weights of epoch {epoch} are kept" if epoch else "no epoch was finished"
