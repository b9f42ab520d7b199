"""embed: crops or photos in, an embedding store out.

from cosface_cli.embed.stage import embed
report = embed(EmbedConfig(source="aligned", store=Path("faces.h5")))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EmbedConfig:
    """source: a crop folder, or photos as for align; store: made or continued; of several models a folder, with a
    store NAME.h5 for each.

    model: a name, a run folder or a weights file, or several of them; flip: "none", "sum" or "concat" (the paper's);
    crops_template: says that a folder without a manifest holds crops of that template; device: auto, cpu, cuda,
    cuda:0,1 or mps; precision: that the networks are computed in, fp32, fp16 or bf16; prune: drop the rows of photos
    that are not in source any more; workers and engine are as for align, and so is the rest, which is for photos only.
    """

    source: str
    store: Path
    model: str | tuple[str, ...] = "dlib"
    flip: str = "none"
    crops_template: str | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0
    min_score: float = 0.0
    max_megapixels: float = 50.0
    min_sharpness: float = 0.0
    max_yaw: float = 90.0
    try_rotations: bool = False
    every: float = 1.0
    root: Path | None = None
    workers: int = 0
    engine: str = "local"
    device: str = "auto"
    precision: str = "fp32"
    prune: bool = False


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """Counts: rows in the store now, in all of them where there are several; inputs done, unchanged and rejected by
    this run; gone: photos of the store that are not in the source any more, dropped with prune, else kept."""

    rows: int
    done: int
    skipped: int
    rejected: int
    gone: int = 0


@dataclass(frozen=True, slots=True)
class InfoReport:
    """What a store holds. flip: none, sum or concat; size: of an embedding; precision: that it was computed in;
    identities: that its rows have;
    sources: files that gave rows; rejects: by reason; bytes: of the file; unfinished: whether the journal of a stopped
    run lies beside it."""

    store: str
    rows: int
    model: str
    model_id: str
    template: str
    flip: str
    size: int
    precision: str
    identities: int
    sources: int
    rejects: Mapping[str, int] = field(default_factory=dict)
    bytes: int = 0
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class MergeConfig:
    """stores: of one model, in the order that their sources will have; out: a new store, or one of them."""

    stores: tuple[Path, ...]
    out: Path


@dataclass(frozen=True, slots=True)
class MergeReport:
    """rows, rejects: in the new store; doubles: sources that stood in several stores, unchanged; changed: sources
    whose content or settings differ between stores, where the store given last counts."""

    store: str
    rows: int
    rejects: int
    doubles: int
    changed: int


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """by: "identity", or the number of parts of consecutive rows; folder: new, or empty."""

    store: Path
    folder: Path
    by: str


@dataclass(frozen=True, slots=True)
class SplitReport:
    """A part that was written. identity: whose rows it holds, None where parts are by number."""

    store: str
    identity: str | None
    rows: int
    rejects: int
