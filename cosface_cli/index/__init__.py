"""index: stores in, a search index out; and the nearest of it to a probe.

from cosface_cli.index.build import build
report = build(BuildConfig(stores=(Path("faces.h5"),), index=Path("people.index")))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BuildConfig:
    """stores: embedding stores of one model; index: the folder to make or to bring up to date. add: keep what other
    stores gave; fresh: write all anew, also in the place of another model's index. engine: faiss, or milvus at uri (to
    add, the index's own);
    search: flat, sq8, pq, or auto by the number of rows; recall: what an approximate search is tuned for."""

    stores: tuple[Path, ...]
    index: Path
    add: bool = False
    fresh: bool = False
    engine: str = "faiss"
    uri: str | None = None
    search: str = "auto"
    recall: float = 0.95


@dataclass(frozen=True, slots=True)
class BuildReport:
    """rows: in the index; added, removed: by this run; doubles: rows that stood in the stores more than once, taken
    once; forgotten: left out since they were forgotten once; search: how its segments are searched; recall: the least
    that was measured of an approximate one."""

    index: str
    rows: int
    added: int
    removed: int
    doubles: int
    forgotten: int
    identities: int
    engine: str
    search: str
    recall: float | None
    model: str


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """probes: photos, crops, folders of either, stores (.h5), or "-" for paths on stdin; k: how many of the nearest;
    by: face, or identity for the best face of each of k people; min_cos: hits below are left out; filters, since: which
    rows are searched, see index.filters; exact: look at every row; model: what embeds photos, None for the index's own;
    the rest as for align."""

    index: Path
    probes: tuple[str, ...]
    k: int = 5
    by: str = "face"
    min_cos: float | None = None
    filters: tuple[str, ...] = ()
    since: str | None = None
    exact: bool = False
    model: str | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0
    min_score: float = 0.0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class SearchReport:
    """Counts: probes searched and rejected; hits given; rows in the index."""

    probes: int
    hits: int
    rejected: int
    rows: int
