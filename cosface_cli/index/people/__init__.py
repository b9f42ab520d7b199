"""index.people: whose faces an index holds. Group them, name the groups, and tell whether a probe is one of them.

from cosface_cli.index.people.cluster import cluster
report = cluster(ClusterConfig(index=Path("people.index")))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """min_cos: the mean cosine from which groups are merged, None: what is known of the model; min_size: smaller groups
    are nobody's; links: a folder to fill with links to the photos, a sub-folder a person; hard: of what kind; page: an
    HTML page to write; evaluate: score the groups against the faces' folders, and write nothing."""

    index: Path
    min_cos: float | None = None
    min_size: int = 2
    links: Path | None = None
    hard: bool = False
    page: Path | None = None
    evaluate: bool = False


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """clusters: groups of min_size or more; fresh: of those, how many have a new id; single: faces in none; doubtful:
    faces that may be in the wrong one; the rest only with evaluate, of the `scored` faces whose folder is known: see
    maths.clustering.Agreement."""

    index: str
    faces: int
    clusters: int
    fresh: int
    single: int
    doubtful: int
    min_cos: float
    people: int | None = None
    scored: int | None = None
    pair_f: float | None = None
    pair_precision: float | None = None
    pair_recall: float | None = None
    bcubed_f: float | None = None
    bcubed_precision: float | None = None
    bcubed_recall: float | None = None
    nmi: float | None = None


@dataclass(frozen=True, slots=True)
class IdentifyConfig:
    """probes, model, detector, faces, min_face, workers: as for search. fpir: the share of searches by strangers
    that may be answered; min_cos: a threshold instead; strangers: stores of people who are not enrolled, to set it
    on, () for the enrolled ones, each left out in turn. pool: mean, max or quality: how several photos are one person;
    together: all probes show one person; k: candidates; evaluate: measure, for probes whose folder is their name."""

    index: Path
    probes: tuple[str, ...]
    fpir: float = 0.01
    min_cos: float | None = None
    strangers: tuple[Path, ...] = ()
    pool: str = "mean"
    together: bool = False
    k: int = 3
    evaluate: bool = False
    model: str | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class IdentifyReport:
    """searches: faces, or groups of them, that were looked for; known: of those, answered with a name; rejected: probes
    without a face; threshold: the cosine from which there is an answer; set_on: searches by strangers that set it."""

    searches: int
    known: int
    rejected: int
    people: int
    threshold: float
    set_on: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What identify measured. fpir, fnir: at the threshold, each a rate with its 95 % interval and counts; cmc: the
    share of mated searches whose person is at rank 1, 2, ...; dir: by the rate of strangers answered, measured on these
    very strangers, the share of mated searches that get their own name; null where they are too few for the rate."""

    mated: int
    unmated: int
    people: int
    pool: str
    together: bool
    threshold: float
    fpir_wished: float | None
    set_on: int
    fpir: Mapping[str, float] | None
    fnir: Mapping[str, float] | None
    cmc: tuple[float, ...]
    dir: tuple[Mapping[str, float | None], ...]
