"""verify: are two photos of one person, and how well does a model tell over a list of pairs?

from cosface_cli.verify.two import verify_two
answer = verify_two(TwoConfig(left=Path("a.jpg"), right=Path("b.jpg")))
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class TwoConfig:
    """left, right: photos or crops; threshold: the cosine from which they count as one person, None: the model's."""

    left: Path
    right: Path
    model: str = "dlib"
    flip: str = "none"
    threshold: float | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0


@dataclass(frozen=True, slots=True)
class TwoReport:
    """cos: of the two embeddings, -1..1; same: cos >= threshold; far: how often two people score as much, None until
    the model is calibrated; model_id: hash of the weights."""

    left: str
    right: str
    cos: float
    threshold: float
    same: bool
    far: float | None
    model: str
    model_id: str
    flip: str


@dataclass(frozen=True, slots=True)
class PairsConfig:
    """root: photos or crops; pairs: an LFW list; crops_template: says that root holds crops without a manifest; faces:
    "center", the face with the central pixel, is LFW's own rule; allow_missing: photos without a file
    or face that may be; each of their pairs counts as an error."""

    root: Path
    pairs: Path
    model: str = "dlib"
    flip: str = "none"
    crops_template: str | None = None
    detector: str = "mtcnn"
    faces: str = "center"
    min_face: float = 20.0
    allow_missing: int = 0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class PairsReport:
    """accuracy: mean over folds, 0..1, each fold at the threshold that is best on the others; accuracy_se: its standard
    error; tar_at_far: one mapping for each FAR, over all pairs that have a score; missing: names without a score;
    scored: pairs with one; model_id, data: hashes of the weights and of the files compared; seconds: of the run."""

    protocol: str
    pairs: int
    folds: int
    scored: int
    accuracy: float
    accuracy_se: float
    fold_accuracy: tuple[float, ...]
    thresholds: tuple[float, ...]
    tar_at_far: tuple[dict[str, Any], ...]
    missing: tuple[str, ...]
    model: str
    model_id: str
    flip: str
    data: str
    seconds: float
