"""The losses as a table: what each computes, what it takes, whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosface_cli.losses import LOSSES, Loss


@dataclass(frozen=True, slots=True)
class Listed:
    """One loss. settings: with their defaults."""

    name: str
    equation: str
    settings: Mapping[str, float]
    source: str


def listed() -> list[Listed]:
    """All the losses, in the order of their table."""
    rows = []
    for name in LOSSES.names:
        loss: type[Loss] = LOSSES.load(name)
        rows.append(Listed(name, loss.EQUATION, dict(loss.DEFAULTS), loss.SOURCE))
    return rows
