"""index: stores in, a search index out; and the rows of an index that are nearest to a probe.

from cosface_cli.index import BuildConfig, SearchConfig
from cosface_cli.index.stage import build, search

build(BuildConfig(stores=(Path("faces.h5"),), index=Path("people.index")))
search(SearchConfig(index=Path("people.index"), probes=("photo.jpg",)), emit)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cosface_cli.engines.photos.photo_options import (
    DetectorOption,
    FacesOption,
    MinFaceOption,
    MinScoreOption,
    ModelOrStoredModelOption,
    WorkersOption,
)
from cosface_cli.engines.search import AUTO, RECALL, SEARCHERS, products, search_row
from cosface_cli.options import Checked, argument, option

SEARCH_GROUP = "Search"

IndexArgument = Annotated[Path, argument("INDEX", "An index folder.")]
_METHODS = [f"{row.name} ({row.summary})" for row in map(search_row, SEARCHERS.names) if not row.needs_uri]
SearchOption = Annotated[
    str,
    option(
        f"How rows are searched: {', '.join(_METHODS)}, or auto: by the number of rows.",
        metavar="<method>",
        group=SEARCH_GROUP,
    ),
]
RecallOption = Annotated[
    float,
    option(
        "Share of probes for which approximate search must find the true nearest row. It is tuned by measuring.",
        above=0,
        at_most=1,
        group=SEARCH_GROUP,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AddConfig(Checked):
    """Stores whose rows are added to an index."""

    stores: Annotated[tuple[Path, ...], argument("STORE...", "Embedding stores (.h5) of one model.")]
    index: Annotated[Path, argument("INDEX", "The index folder; it is created, or updated if it exists.")]
    search: SearchOption = AUTO
    recall: RecallOption = RECALL


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildConfig(AddConfig):
    """Stores whose rows an index will hold, and no other rows."""

    engine: Annotated[
        str, option(f"Search engine: {', '.join(products())}.", metavar="<engine>", group=SEARCH_GROUP)
    ] = products()[0]
    uri: Annotated[
        str | None,
        option("Address of the engine's server, if it has one: http://HOST:19530.", group=SEARCH_GROUP),
    ] = None
    fresh: Annotated[bool, option("Write all rows again, and replace an index of another model.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildReport:
    """The index after a build, and what the build changed."""

    index: str
    rows: int
    """Rows in the index."""
    added: int
    removed: int
    doubles: int
    """Rows that the stores hold more than once; each is taken once."""
    forgotten: int
    """Rows left out because `cosface index forget` was run for them."""
    identities: int
    engine: str
    search: str
    """How the segments are searched, such as sq8+flat."""
    recall: float | None
    """The lowest recall measured on an approximate segment; None if all are exact."""
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeConfig(Checked):
    """The probes of a search: faces of photos, crops or stores."""

    index: IndexArgument
    probes: Annotated[
        tuple[str, ...],
        argument("PROBE...", "Photos, crops, folders of either, stores (.h5), or - for paths on standard input."),
    ]
    model: ModelOrStoredModelOption = None
    detector: DetectorOption = "mtcnn"
    faces: FacesOption = "largest"
    min_face: MinFaceOption = 20.0
    min_score: MinScoreOption = 0.0
    workers: WorkersOption = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig(ProbeConfig):
    """Probes to the nearest rows of an index."""

    k: Annotated[int, option("Number of nearest rows to print.", "-k", at_least=1, group=SEARCH_GROUP)] = 5
    by: Annotated[
        Literal["face", "identity"],
        option("What a hit is: a face, or an identity with its best face.", group=SEARCH_GROUP),
    ] = "face"
    min_cos: Annotated[
        float | None,
        option("Leave out hits below this cosine.", at_least=-1, at_most=1, group=SEARCH_GROUP),
    ] = None
    filters: Annotated[
        tuple[str, ...],
        option(
            "Search only rows with identity=NAME or source=NAME; * and ? are wildcards. Repeatable.",
            "--filter",
            group=SEARCH_GROUP,
        ),
    ] = ()
    since: Annotated[
        str | None,
        option("Search only photos changed since this date or time (ISO 8601).", group=SEARCH_GROUP),
    ] = None
    exact: Annotated[
        bool, option("Compare with every row, even if the index is built for approximate search.", group=SEARCH_GROUP)
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchReport:
    """Counts of a search."""

    probes: int
    """Probes that were searched for."""
    hits: int
    """Rows of output."""
    rejected: int
    """Probes that could not be used."""
    rows: int
    """Rows in the index."""
