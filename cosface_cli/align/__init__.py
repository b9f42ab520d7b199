"""align: photos in, a folder of aligned crops out.

from cosface_cli.align.stage import align
report = align(AlignConfig(raw="photos", aligned=Path("aligned")))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class AlignConfig:
    """raw: a folder, an archive, a video, a photo, a pattern, or "-" for paths on stdin; aligned: the crop folder,
    made or continued.

    detector: a name or a model's path; template: where the landmarks of the crops will be; faces: "largest", "all" or
    "center"; min_face: pixels of the box's longer side; min_score: the detector's, 0..1; min_sharpness: variance of
    the crop's Laplacian, comparable within one template; max_yaw: degrees, 90 refuses none; try_rotations: look at
    photos without a face turned by quarters; crops: "jpeg" (quality 95, 4:4:4) or "png"; every: seconds
    between the frames of a video; root: what the names of a list are relative to, its first folder level the identity;
    workers: processes, 0 for one a core; redo: do again what other settings made; prune: drop the crops of photos that
    are not in raw any more; report: also write ALIGNED/report.html, a contact sheet.
    """

    raw: str
    aligned: Path
    detector: str = "mtcnn"
    template: str = "wide"
    faces: str = "largest"
    min_face: float = 20.0
    min_score: float = 0.0
    max_megapixels: float = 50.0
    min_sharpness: float = 0.0
    max_yaw: float = 90.0
    try_rotations: bool = False
    crops: str = "jpeg"
    every: float = 1.0
    root: Path | None = None
    workers: int = 0
    redo: bool = False
    prune: bool = False
    report: bool = False


@dataclass(frozen=True, slots=True)
class AlignReport:
    """Counts: photos in the source, crops in the folder now, photos done, unchanged and rejected by this run; gone:
    photos of the folder that are not in the source, dropped with prune, else kept."""

    photos: int
    crops: int
    done: int
    skipped: int
    rejected: int
    gone: int = 0
