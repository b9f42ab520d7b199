"""index.people: whose faces an index holds. Group faces, name the groups, and identify probes.

from cosface_cli.index.people import ClusterConfig, IdentifyConfig
from cosface_cli.index.people.stage import cluster, identify

report = cluster(ClusterConfig(index=Path("people.index")))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cosface_cli.errors import CosfaceError
from cosface_cli.index import IndexArgument, ProbeConfig
from cosface_cli.options import Checked, argument, check, option

Pool = Literal["mean", "max", "quality"]

_GROUPING = "Grouping"
_VIEWS = "Output"
_THRESHOLD = "Threshold"
_PERSONS = "Persons"
_FPIR = 0.01
_CANDIDATES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig(Checked):
    """How the faces of an index are grouped, and which views of the groups are written."""

    index: IndexArgument
    min_cos: Annotated[
        float | None,
        option(
            "Groups are merged while their mean cosine is at least this.",
            at_least=-1,
            at_most=1,
            unset="the value measured for the index's model, or estimated from its faces",
            group=_GROUPING,
        ),
    ] = None
    min_size: Annotated[int, option("Smallest group that becomes a person, in faces.", at_least=1, group=_GROUPING)] = 2
    links: Annotated[
        Path | None,
        option("Folder to fill with links to the photos, one sub-folder per person.", group=_VIEWS),
    ] = None
    hard: Annotated[bool, option("With --links: make hard links, not symbolic links.", group=_VIEWS)] = False
    page: Annotated[
        Path | None,
        option("Also write an HTML page that shows every group.", "--html", metavar="PAGE", group=_VIEWS),
    ] = None
    evaluate: Annotated[
        bool, option("Compare the groups with the identities of the faces, and write nothing.", group=_GROUPING)
    ] = False

    def __post_init__(self) -> None:
        check(self)
        if self.hard and self.links is None:
            raise CosfaceError("--hard needs --links", hint="name the folder of links with --links")
        if self.evaluate and (self.links is not None or self.page is not None):
            raise CosfaceError("--evaluate writes nothing", hint="leave out --links and --html, or --evaluate")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterReport:
    """The groups of an index. Fields from `people` on: only with evaluate, see maths.clustering.Agreement."""

    index: str
    faces: int
    clusters: int
    """Groups of at least min_size faces, which are persons."""
    fresh: int
    """Persons with a new id."""
    single: int
    """Faces that belong to no person."""
    doubtful: int
    """Faces that may be in the wrong group."""
    min_cos: float
    people: int | None = None
    """Identities of the scored faces."""
    scored: int | None = None
    """Faces with an identity."""
    pair_f: float | None = None
    pair_precision: float | None = None
    pair_recall: float | None = None
    bcubed_f: float | None = None
    bcubed_precision: float | None = None
    bcubed_recall: float | None = None
    nmi: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyConfig(ProbeConfig):
    """The probes to identify, and the threshold from which a name is given."""

    fpir: Annotated[
        float,
        option(
            "False positive identification rate: the share of searches by strangers that are answered with a name.",
            above=0,
            below=1,
            group=_THRESHOLD,
        ),
    ] = _FPIR
    min_cos: Annotated[
        float | None,
        option(
            "Lowest cosine that is answered with a name.",
            at_least=-1,
            at_most=1,
            unset="set by --fpir",
            group=_THRESHOLD,
        ),
    ] = None
    strangers: Annotated[
        tuple[Path, ...],
        option(
            "Stores of people who are not in INDEX, by which the threshold is set. Repeatable.",
            unset="the people of INDEX, each left out in turn",
            group=_THRESHOLD,
        ),
    ] = ()
    pool: Annotated[
        Pool,
        option(
            "How several photos of a person are compared: by their mean, the nearest one (max), or their mean weighted "
            "by detection score (quality).",
            group=_PERSONS,
        ),
    ] = "mean"
    together: Annotated[
        bool,
        option("All probes show one person; with --evaluate: all probes with the same identity.", group=_PERSONS),
    ] = False
    k: Annotated[int, option("Number of candidates to print.", "-k", at_least=1, group=_PERSONS)] = _CANDIDATES
    evaluate: Annotated[
        bool,
        option("Measure FPIR, FNIR, CMC and DIR. The first folder level of a probe is its identity.", group=_THRESHOLD),
    ] = False

    def __post_init__(self) -> None:
        check(self)
        if self.min_cos is not None and (self.strangers or self.fpir != _FPIR):
            raise CosfaceError(
                "--min-cos sets the threshold, so --fpir and --strangers have no effect",
                hint="leave out --min-cos, or the others",
            )
        if self.evaluate and self.k != _CANDIDATES:
            raise CosfaceError("--evaluate prints no candidates", hint="leave out -k")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifyReport:
    """Counts of an identification."""

    searches: int
    """Faces, or groups of faces, that were searched for."""
    known: int
    """Searches that were answered with a name."""
    rejected: int
    """Probes without a usable face."""
    people: int
    """Persons enrolled in the index."""
    threshold: float
    """The cosine from which a name is given."""
    set_on: int
    """Searches by strangers by which the threshold was set; 0 for --min-cos."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What `identify --evaluate` measured. Rates come with a 95 % interval and counts."""

    mated: int
    """Searches by people who are enrolled."""
    unmated: int
    """Searches by strangers."""
    people: int
    pool: str
    together: bool
    threshold: float
    fpir_wished: float | None
    set_on: int
    fpir: Mapping[str, float] | None
    """False positive identification rate at the threshold."""
    fnir: Mapping[str, float] | None
    """False negative identification rate at the threshold."""
    cmc: tuple[float, ...]
    """The share of mated searches whose person is at rank 1, at most 2, ..."""
    dir: tuple[Mapping[str, float | None], ...]
    """Detection and identification rate by FPIR: the share of mated searches that get the right name, at the threshold
    with this FPIR on the strangers; None if there are too few strangers for the rate."""


_WHO = "An id printed by cosface index cluster, or a name."
PersonArgument = Annotated[str, argument("WHO", _WHO)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig(Checked):
    """A name for a group."""

    index: IndexArgument
    who: Annotated[str, argument("CLUSTER", _WHO)]
    name: Annotated[str, argument("NAME", "The name of this person.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RenameConfig(Checked):
    """Another name for a person."""

    index: IndexArgument
    who: PersonArgument
    name: Annotated[str, argument("NAME", "The new name.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePeopleConfig(Checked):
    """Persons that become one."""

    index: IndexArgument
    who: PersonArgument
    others: Annotated[tuple[str, ...], argument("OTHER...", "Ids or names of the same person.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig(Checked):
    """Photos of a person that show another person."""

    index: IndexArgument
    who: PersonArgument
    sources: Annotated[
        tuple[str, ...], argument("SOURCE...", "Photos as cluster prints them; a.jpg#2 is the second face of a.jpg.")
    ]
    name: Annotated[str | None, option("Name of the new person.")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPeopleConfig(Checked):
    """The persons of an index."""

    index: IndexArgument


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportNamesConfig(Checked):
    """Names to a CSV file."""

    index: IndexArgument
    table: Annotated[Path, argument("CSV", "The file to write.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportNamesConfig(Checked):
    """Names from a CSV file."""

    index: IndexArgument
    table: Annotated[Path, argument("CSV", "A file with the columns name, and source, or hash and face.")]
