"""align: photos in, a folder of aligned crops out.

from cosface_cli.align.stage import align
report = align(AlignConfig(raw="photos", aligned=Path("aligned")))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cosface_cli.engines.photos.photo_options import (
    DetectorOption,
    EngineOption,
    EveryOption,
    FacesOption,
    MaxMegapixelsOption,
    MaxYawOption,
    MinFaceOption,
    MinScoreOption,
    MinSharpnessOption,
    PruneOption,
    RootOption,
    TemplateName,
    TryRotationsOption,
    WorkersOption,
)
from cosface_cli.options import Checked, argument, option

CropFormat = Literal["jpeg", "png"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignConfig(Checked):
    """Photos to crops."""

    raw: Annotated[
        str, argument("RAW", "Folder, zip, tar, train.rec, video, photo, quoted pattern, or - for paths on stdin.")
    ]
    aligned: Annotated[Path, argument("ALIGNED", "Crop folder; it is created, or updated if it exists.")]
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
    template: Annotated[
        TemplateName,
        option("Where the landmarks are in the crops: {choices}; wide fits every network.", group="Output"),
    ] = "wide"
    crops: Annotated[
        CropFormat, option("File format of the crops: jpeg (quality 95, 4:4:4) or png.", group="Output")
    ] = "jpeg"
    prune: PruneOption = False
    redo: Annotated[bool, option("Replace crops that were made with other settings.", group="Output")] = False
    report: Annotated[
        bool, option("Also write ALIGNED/report.html, a contact sheet of crops and rejects.", group="Output")
    ] = False
    workers: WorkersOption = 0
    engine: EngineOption = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignReport:
    """Counts of a run."""

    photos: int = 0
    """In the source."""
    crops: int = 0
    """In the crop folder after the run."""
    done: int = 0
    """Photos aligned by this run."""
    skipped: int = 0
    """Photos that were unchanged."""
    rejected: int = 0
    """Photos without a crop."""
    gone: int = 0
    """Photos of the crop folder that the source no longer contains; with prune their crops were removed."""
