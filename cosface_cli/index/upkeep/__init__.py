"""index.upkeep: maintain an index. Show what it holds, check it, merge, export, or move it to another model.

from cosface_cli.index.upkeep import CheckConfig
from cosface_cli.index.upkeep.stage import check

report = check(CheckConfig(index=Path("people.index")))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from cosface_cli.engines.search import AUTO, RECALL
from cosface_cli.index import IndexArgument, RecallOption, SearchOption
from cosface_cli.options import Checked, argument, option
from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    from cosface_cli.index.search.gallery import Gallery


class Export(Protocol):
    """An entry of EXPORTS."""

    def __call__(self, gallery: Gallery, path: Path, vectors: bool) -> None:
        """Write a gallery to a new file. vectors: also write them in a format that leaves them out by default."""
        ...


EXPORTS: Table[Export] = Table(
    "export format",
    Row("npy", "cosface_cli.index.upkeep.export_rows:write_npy", "the vectors (N, D), float32, in the order of rows"),
    Row("csv", "cosface_cli.index.upkeep.export_rows:write_csv", "one line per row; --vectors adds e0, e1, ..."),
    Row("parquet", "cosface_cli.index.upkeep.export_parquet:write_parquet", "a table with the vectors", "parquet"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoConfig(Checked):
    """The index to describe."""

    index: IndexArgument


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoReport:
    """What an index holds."""

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
    segments: tuple[dict[str, object], ...]
    """Of each segment: rows, search, and the settings of an approximate search."""
    stores: tuple[str, ...]
    """The stores that it was built from."""
    missing: tuple[str, ...]
    """The stores that no longer exist."""
    bytes: int
    """Size of its files."""
    forgotten: int
    """Faces that are kept out because they were forgotten."""
    unfinished: bool
    """Whether a run of `index forget` was interrupted."""
    mapped: dict[str, object] | None
    """If `index migrate` made the vectors: the model that they were mapped from, and the measured quality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckConfig(Checked):
    """The index to check, and what it is compared with."""

    index: IndexArgument
    rows: Annotated[
        int, option("Number of rows, evenly spaced, for which a search must find the row itself; 0: all.", at_least=0)
    ] = 10_000
    stores: Annotated[
        tuple[Path, ...],
        option("Another store to compare with, besides those that the index was built from. Repeatable.", "--store"),
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The result of a check."""

    index: str
    ok: bool
    rows: int = 0
    """Rows in the index."""
    searched: int = 0
    """Rows that were searched for."""
    found: int = 0
    """Searches that found the row itself."""
    compared: int = 0
    """Rows of stores that were compared."""
    problems: tuple[str, ...] = ()
    """What is wrong, one sentence each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConfig(Checked):
    """Indexes that become one."""

    indexes: Annotated[tuple[Path, ...], argument("INDEX...", "Indexes of one model.")]
    out: Annotated[Path, argument("OUT", "A new index folder.")]
    search: SearchOption = AUTO
    recall: RecallOption = RECALL


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportConfig(Checked):
    """What is exported, and to which file."""

    index: IndexArgument
    out: Annotated[Path, argument("OUT", "The file to write: .npy, .csv or .parquet.")]
    vectors: Annotated[bool, option("Also write the vectors to a .csv file.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What was written."""

    out: str
    rows: int
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateConfig(Checked):
    """An index, and stores of the same faces by its model and by the new one."""

    index: IndexArgument
    out: Annotated[Path, argument("OUT", "A new index folder.")]
    old: Annotated[Path, option("A store of the index's model.", "--from")]
    new: Annotated[Path, option("A store of the new model, with the same crops or photos.", "--to")]
    search: SearchOption = AUTO
    recall: RecallOption = RECALL


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrateReport:
    """The quality of the linear map, measured on people that it was not fitted on."""

    index: str
    rows: int
    fitted: int
    """Faces that the map was fitted on."""
    held_out: int
    """Faces of other people that it was measured on."""
    ridge: float
    """Strength of the regularisation, chosen on a third group of people."""
    cos: float
    """Mean cosine of a mapped vector with the new model's vector."""
    rank1: float | None
    """How often the nearest other face is the same person's: new probes in a mapped gallery."""
    rank1_new: float | None
    """The same for new probes in the new model's gallery."""
    rank1_old: float | None
    """The same for old probes in the old model's gallery."""
    model: str
