"""The losses as a table: what each computes, what it takes, whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosface_cli.losses import LOSSES, Loss


@dataclass(frozen=True, slots=True)
class Listed:
    """One loss. parameters: its settings with their defaults."""

    name: str
    summary: str
    equation: str
    parameters: Mapping[str, float]
    source: str


def listed() -> list[Listed]:
    """All the losses, in the order of their table."""
    rows = []
    for row in LOSSES:
        loss: type[Loss] = LOSSES.load(row.name)
        rows.append(Listed(row.name, row.summary, loss.EQUATION, dict(loss.DEFAULTS), loss.SOURCE))
    return rows
