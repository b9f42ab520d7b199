"""verify.compare: whether photos show one person. Two photos, one with many, or pairs of a list; or store rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cosface_cli.engines.photos.photo_options import DETECTION, INPUT
from cosface_cli.options import option
from cosface_cli.verify.faces import EmbeddingConfig, Faces

DECISION = "Decision"
WarningCode = Literal["several_faces", "tiny", "blurred", "identical_files", "one_photo", "copy", "mirror"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareConfig(EmbeddingConfig):
    """How photos, or rows of stores, are compared with each other."""

    faces: Annotated[
        Faces,
        option(
            "Which faces of a photo to use: the largest, the one at the center, or all. Protocols use the one at the "
            "center (LFW's rule), unless largest is given.",
            group=DETECTION,
        ),
    ] = "largest"
    stores: Annotated[
        tuple[Path, ...],
        option(
            "Store whose rows are compared instead of photos. Repeat it to fuse several models.", "--store", group=INPUT
        ),
    ] = ()
    threshold: Annotated[
        float | None,
        option("Lowest cosine of two faces of one person.", at_least=-1, at_most=1, unset="from --far", group=DECISION),
    ] = None
    far: Annotated[
        float,
        option("False accept rate whose threshold the calibration gives.", at_least=0, at_most=1, group=DECISION),
    ] = 1e-3
    calibration: Annotated[
        Path | None,
        option("File written by cosface verify calibrate.", unset="the model's own calibration", group=DECISION),
    ] = None


@dataclass(frozen=True, slots=True)
class MatchWarning:
    """The reason why a score is less reliable than it seems."""

    code: WarningCode
    photo: str | None
    """The photo with the problem; None for both."""
    words: str
    """One sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Two faces compared: one row of output."""

    left: str
    right: str
    status: Literal["ok", "rejected"]
    reason: str | None
    """Code of the reason for a rejection."""
    cos: float | None
    """Cosine of the embeddings, -1..1."""
    threshold: float | None
    same: bool | None
    """Whether cos >= threshold."""
    far: float | None
    """Share of the pairs of two people that score as high; None for a model without calibration."""
    far_low: float | None
    """Lower end of its 95 % interval."""
    far_high: float | None
    left_face: int | None
    """Number of the face in the photo, from 1, if all faces were compared."""
    right_face: int | None
    model: str
    model_id: str
    """Hash of the weights."""
    flip: str
    warnings: tuple[MatchWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class ManyReport:
    """Counts of the pairs of a list, or of one photo with many."""

    compared: int
    same: int
    """Pairs of one person, among those compared."""
    rejected: int
