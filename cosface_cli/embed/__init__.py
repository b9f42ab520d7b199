"""embed: crops or photos in, an embedding store out.

from cosface_cli.embed.stage import embed
report = embed(EmbedConfig(source="aligned", store=Path("faces.h5")))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EmbedConfig:
    """source: a crop folder, or photos as for align; store: made or continued.

    model: a name, a run folder or a weights file; flip: "none", "sum" or "concat" (the paper's); crops_template: says
    that a folder without a manifest holds crops of that template; the rest, for photos only, is as for align.
    """

    source: str
    store: Path
    model: str = "dlib"
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


@dataclass(frozen=True, slots=True)
class EmbedReport:
    """Counts: rows in the store now; inputs done, unchanged and rejected by this run."""

    rows: int
    done: int
    skipped: int
    rejected: int
