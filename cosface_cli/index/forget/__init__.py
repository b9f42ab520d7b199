"""Forgetting: a person is taken out of the index, its stores and crop folders, and that nothing is left is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ForgetConfig:
    """identity: a person, by the first folder level or by the name given to one of `cosface index people`; source: a
    photo or crop, as a row of the index calls it or as a path. stores, crops: where the person may stand besides what
    the index was built from, also of other models. yes: do it; without, only tell what would go."""

    index: Path
    identity: str | None = None
    source: str | None = None
    stores: tuple[Path, ...] = ()
    crops: tuple[Path, ...] = ()
    yes: bool = False


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """done: whether it was done, and shown; index_rows, store_rows, crops, people: what went, or would go; files,
    bytes: what was looked through for traces; remains: the files where some were found; receipt: what says so."""

    index: str
    done: bool
    index_rows: int
    store_rows: int
    crops: int
    people: int
    files: int = 0
    bytes: int = 0
    remains: tuple[str, ...] = ()
    receipt: str | None = None
