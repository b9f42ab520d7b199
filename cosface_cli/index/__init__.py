"""index: stores in, a search index out; and the nearest of it to a probe.

from cosface_cli.index.build import build
report = build(BuildConfig(stores=(Path("faces.h5"),), index=Path("people.index")))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """stores: embedding stores of one model; index: the folder to make, or to replace once the new one is whole."""

    stores: tuple[Path, ...]
    index: Path


@dataclass(frozen=True, slots=True)
class BuildReport:
    """rows: in the index; doubles: rows that stood in the stores more than once, kept once; engine: how it searches."""

    index: str
    rows: int
    doubles: int
    identities: int
    engine: str
    model: str


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """probes: photos, crops, folders of either, stores (.h5), or "-" for paths on stdin; k: how many of the nearest;
    model: what embeds photos, None for the index's own; the rest as for align."""

    index: Path
    probes: tuple[str, ...]
    k: int = 5
    model: str | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class SearchReport:
    """Counts: probes searched and rejected; hits given; rows in the index."""

    probes: int
    hits: int
    rejected: int
    rows: int
