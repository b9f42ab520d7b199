"""index.people: whose faces an index holds. Group them, name the groups, and tell whether a probe is one of them.

from cosface_cli.index.people.cluster import cluster
report = cluster(ClusterConfig(index=Path("people.index")))
"""

from __future__ import annotations

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
