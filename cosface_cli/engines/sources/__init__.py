"""Where photos come from. A source gives names (relative, forward slashes) with the files behind them, in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Item:
    """name: what the photo is called in manifests and stores; path: its file; given: as a person would type it."""

    name: str
    path: Path
    given: str

    @property
    def identity(self) -> str | None:
        """The first folder level of the name."""
        head, slash, _ = self.name.partition("/")
        return head if slash else None


@dataclass(frozen=True, slots=True)
class Listing:
    """items: each once, in order; notes: what was left alone, in sentences for people."""

    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
