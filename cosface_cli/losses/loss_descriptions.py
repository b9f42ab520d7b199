"""A list of the losses: the equation, settings and source of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosface_cli.losses import LOSSES


@dataclass(frozen=True, slots=True)
class LossDescription:
    """One loss, for --list-losses."""

    name: str
    equation: str
    settings: Mapping[str, float]
    """With their default values."""
    source: str


def describe_losses() -> list[LossDescription]:
    """All losses, in the order of their table. A loss that lacks a description, as it may while somebody writes it,
    does not hide the others."""
    descriptions = []
    for name in LOSSES.names:
        loss = LOSSES.load(name)
        equation, source = getattr(loss, "EQUATION", "not given"), getattr(loss, "SOURCE", "not given")
        descriptions.append(LossDescription(name, equation, dict(loss.DEFAULTS), source))
    return descriptions
