"""Which value of a setting applies: fallback < recipe < command line.

A value that depends on another setting is dropped when that setting changes: the margin of one loss is not used for
another loss. RESETS has these dependencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cosface_cli.losses import LOSSES
from cosface_cli.train import Setting, TrainConfig
from cosface_cli.train.setup.recipes import FIELDS, Recipe
from cosface_cli.train.step import OPTIMIZERS

RESETS: Mapping[str, tuple[str, ...]] = {
    "loss": ("m", "loss_options"),
    "optimizer": ("lr", "weight_decay", "momentum", "nesterov"),
    "start": ("backbone", "embedding_size"),
    "backbone": ("embedding_size",),
    "sampler": ("images_per_identity",),
    "schedule": ("milestones",),
    "epochs": ("steps",),
    "steps": ("epochs",),
}
"""If a source of higher precedence changes a setting, these settings of the sources below it are dropped."""

FALLBACKS: Mapping[str, Any] = {
    name: parameter.option.fallback
    for name, parameter in FIELDS.items()
    if isinstance(parameter.option, Setting) and parameter.option.fallback is not None
}


def with_recipe(config: TrainConfig, recipe: Recipe) -> TrainConfig:
    """The configuration, where settings that are None get the recipe's value or their fallback."""
    from_command_line = {name: getattr(config, name) for name in FIELDS if getattr(config, name) is not None}
    values = _override(_override(FALLBACKS, recipe.values), from_command_line)
    return replace(config, **{**OPTIMIZERS.load(values["optimizer"]).defaults, **values})


def _override(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """The values of two sources: `upper` has the higher precedence."""
    if upper.get("milestones") and "schedule" not in upper:
        upper = {**upper, "schedule": "step"}
    changed = {name for name, value in upper.items() if value != lower.get(name)}
    dropped = {other for name in changed for other in RESETS.get(name, ())}
    dropped |= set(upper.get("loss_options", ()))  # s and m by their other name
    if "loss" in changed and "s" not in LOSSES.load(upper["loss"]).DEFAULTS:
        dropped.add("s")
    remaining = {name: value for name, value in lower.items() if name not in dropped}
    if "milestones" in remaining and not changed.isdisjoint(("epochs", "steps")):
        remaining["milestones"] = _at_same_shares(lower, upper)
    return {**remaining, **upper}


def _at_same_shares(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> tuple[int, ...]:
    """The milestones of `lower`, moved to the same shares of the length of `upper`."""
    length = upper.get("steps") or upper["epochs"]
    scaled = {round(milestone * length / (lower.get("steps") or lower["epochs"])) for milestone in lower["milestones"]}
    return tuple(sorted(milestone for milestone in scaled if milestone >= 1)) or (1,)
