"""verify: are two photos of one person, and how well does a model tell over a list of pairs?

from cosface_cli.verify.compare import compare_two
answer = compare_two("a.jpg", "b.jpg", CompareConfig())
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class CompareConfig:
    """How photos are compared with each other.

    models: what embeds them, none: the store's own or dlib; fuse: how several models' vectors are joined
    (engines.ensemble); stores: names are of their rows, and no photo is read; threshold: the cosine from which two
    faces count as one person, None: the model's own at a false accept rate of `far`; calibration: a file that says what
    scores mean, None: the model's own.
    """

    models: tuple[str, ...] = ()
    fuse: str = "mean"
    flip: str = "none"
    stores: tuple[Path, ...] = ()
    threshold: float | None = None
    far: float = 1e-3
    calibration: Path | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Warned:
    """What is to be known of a score. code: several_faces, tiny, blurred, identical_files, one_photo, copy or mirror;
    photo: whose it is, None for both; words: one sentence."""

    code: str
    photo: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Match:
    """Two faces. cos: of their embeddings, -1..1; same: cos >= threshold; far: the share of pairs of two people that
    score as much, with its 95 % interval, None where the model is not calibrated; left_face, right_face: their numbers
    from 1 where all faces were wanted; model_id: hash of the weights. status: "ok", or "rejected" for a reason."""

    left: str
    right: str
    status: str
    reason: str | None
    cos: float | None
    threshold: float | None
    same: bool | None
    far: float | None
    far_low: float | None
    far_high: float | None
    left_face: int | None
    right_face: int | None
    model: str
    model_id: str
    flip: str
    warnings: tuple[Warned, ...] = ()


@dataclass(frozen=True, slots=True)
class ManyReport:
    """Counts: compared and rejected pairs; same: of those compared, pairs of one person."""

    compared: int
    same: int
    rejected: int


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
