"""Looking after an index: what it holds, whether that is whole, joining, exporting, moving it to another model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    from cosface_cli.index.gallery import Gallery


class Export(Protocol):
    """What a row of EXPORTS points to: writes a gallery to a new file. vectors: also where they are not its point."""

    def __call__(self, gallery: Gallery, path: Path, vectors: bool) -> None: ...


EXPORTS: Table[Export] = Table(
    "export format",
    Row("npy", "cosface_cli.index.upkeep.export:write_npy", "the vectors (N, D), float32, in the order of the rows"),
    Row("csv", "cosface_cli.index.upkeep.export:write_csv", "a line a row; --vectors adds e0, e1, ..."),
    Row("parquet", "cosface_cli.index.upkeep.export_parquet:write_parquet", "a table with the vectors", "parquet"),
)


@dataclass(frozen=True, slots=True)
class InfoReport:
    """What an index says of itself. segments: rows, search, nprobe and recall of each; bytes: of its files; forgotten:
    faces that are kept out; unfinished: whether forgetting somebody was stopped; missing: stores that are gone."""

    index: str
    rows: int
    identities: int
    model: str
    model_id: str
    template: str
    flip: str
    size: int
    metric: str
    engine: str
    uri: str | None
    segments: tuple[dict[str, Any], ...]
    stores: tuple[str, ...]
    missing: tuple[str, ...]
    bytes: int
    forgotten: int
    unfinished: bool
    mapped: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """rows: how many, lying evenly, must find themselves; 0: all. stores: to compare with, beside the index's own."""

    index: Path
    rows: int = 10_000
    stores: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckReport:
    """ok: nothing is wrong; searched, found: rows that were to find themselves, and did; compared: rows of stores that
    were compared; problems: what is wrong, a sentence each."""

    index: str
    ok: bool
    rows: int
    searched: int
    found: int
    compared: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MergeConfig:
    """indexes: of one model; out: a new folder. search, recall: as for build."""

    indexes: tuple[Path, ...]
    out: Path
    search: str = "auto"
    recall: float = 0.95


@dataclass(frozen=True, slots=True)
class ExportReport:
    """rows: how many were written to out."""

    out: str
    rows: int
    format: str


@dataclass(frozen=True, slots=True)
class MigrateConfig:
    """index: of the old model; old, new: stores of the same faces by the old model and by the new one, to learn the map
    from; out: a new folder. search, recall: as for build."""

    index: Path
    old: Path
    new: Path
    out: Path
    search: str = "auto"
    recall: float = 0.95


@dataclass(frozen=True, slots=True)
class MigrateReport:
    """fitted, held_out: faces the map was learned on, and faces of other people on which its cost was measured; cos:
    mean cosine of a mapped vector to the new model's own; rank1, rank1_new, rank1_old: how often the nearest other face
    is of the same person, for new probes in a mapped gallery, in the new model's own, and for old ones in the old."""

    index: str
    rows: int
    fitted: int
    held_out: int
    ridge: float
    cos: float
    rank1: float | None
    rank1_new: float | None
    rank1_old: float | None
    model: str
