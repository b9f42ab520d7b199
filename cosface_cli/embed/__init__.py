"""embed: crops or photos in, an embedding store out.

from cosface_cli.embed.stage import embed
report = embed(EmbedConfig(source="aligned", store=Path("faces.h5")))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cosface_cli.engines.photos.photo_options import (
    CropsTemplateOption,
    DetectorOption,
    DeviceOption,
    EngineOption,
    EveryOption,
    FacesOption,
    FlipOption,
    MaxMegapixelsOption,
    MaxYawOption,
    MinFaceOption,
    MinScoreOption,
    MinSharpnessOption,
    OneOrMoreModelsOption,
    PrecisionOption,
    PruneOption,
    RootOption,
    TryRotationsOption,
    WorkersOption,
)
from cosface_cli.options import Checked, argument, option


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedConfig(Checked):
    """Crops or photos to a store. The detection options apply only to photos."""

    source: Annotated[str, argument("SOURCE", "Crop folder, or photos: everything that align takes.")]
    store: Annotated[
        Path,
        argument("STORE", "The .h5 file, or for several models a folder; it is created, or updated if it exists."),
    ]
    model: OneOrMoreModelsOption = "dlib"
    flip: FlipOption = "none"
    precision: PrecisionOption = "fp32"
    crops_template: CropsTemplateOption = None
    detector: DetectorOption = "mtcnn"
    faces: FacesOption = "largest"
    min_face: MinFaceOption = 20.0
    min_score: MinScoreOption = 0.0
    min_sharpness: MinSharpnessOption = 0.0
    max_yaw: MaxYawOption = 90.0
    try_rotations: TryRotationsOption = False
    max_megapixels: MaxMegapixelsOption = 50.0
    every: EveryOption = 1.0
    root: RootOption = None
    prune: PruneOption = False
    workers: WorkersOption = 0
    engine: EngineOption = "local"
    device: DeviceOption = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedReport:
    """Counts of a run."""

    rows: int = 0
    """In the store after the run; in all of them if there are several."""
    done: int = 0
    """Photos or crops embedded by this run."""
    skipped: int = 0
    """Those that were unchanged."""
    rejected: int = 0
    """Those without an embedding."""
    gone: int = 0
    """Photos of the store that the source no longer contains; with prune their rows were removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoConfig(Checked):
    """The store to describe."""

    store: Annotated[Path, argument("STORE", "A store written by cosface embed.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoReport:
    """What is in a store."""

    store: str
    rows: int
    model: str
    """Name of the model."""
    model_id: str
    template: str
    """Geometry of the crops that the model takes."""
    flip: str
    """none, sum or concat."""
    size: int
    """Dimensions of an embedding."""
    precision: str
    """Number format that the embeddings were computed in."""
    identities: int
    """Different identities of the rows."""
    sources: int
    """Files that gave rows."""
    rejects: Mapping[str, int] = field(default_factory=dict)
    """Rejected files by reason."""
    bytes: int = 0
    """Size of the file."""
    unfinished: bool = False
    """Whether an interrupted run left its journal beside the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeConfig(Checked):
    """Several stores to one."""

    stores: Annotated[tuple[Path, ...], argument("STORE", "Stores of one model, in the order that the rows will have.")]
    out: Annotated[Path, argument("OUT", "The new store; it may be one of the others.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeReport:
    """Counts of a merge."""

    store: str
    """The new store."""
    rows: int
    rejects: int
    doubles: int
    """Sources that were in several stores with the same content and settings."""
    changed: int
    """Sources whose content or settings differ between stores: the last store is used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig(Checked):
    """One store to several."""

    store: Annotated[Path, argument("STORE", "A store written by cosface embed.")]
    folder: Annotated[Path, argument("FOLDER", "New or empty folder for the parts.")]
    by: Annotated[str, option("identity, or the number of parts of consecutive rows.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport:
    """One part."""

    store: str
    identity: str | None
    """Whose rows it has; None if parts are numbered, and for rows without an identity."""
    rows: int
    rejects: int
