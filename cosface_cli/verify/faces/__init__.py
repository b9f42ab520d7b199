"""verify.faces: faces by the names of their photos, with embeddings by one model, from photos, crops or stores."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated, Literal

from cosface_cli.engines.detectors import Faces
from cosface_cli.engines.photos.photo_options import (
    DETECTION,
    DetectorOption,
    FacesOption,
    FlipOption,
    Fuse,
    FusedModelsOption,
    FuseOption,
    MinFaceOption,
    WorkersOption,
)
from cosface_cli.options import Checked, changed_fields, option

__all__ = ["DEFAULT_MODELS", "EmbeddingConfig", "Faces", "Fuse", "OneFaceOption", "keep_blas_single_threaded"]

DEFAULT_MODELS = ("dlib",)  # for photos, if no model is named
OneFaceOption = Annotated[
    Literal["largest", "center"],
    option("Which face of a photo to use: the largest, or the one at the center (LFW's rule).", group=DETECTION),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingConfig(Checked):
    """How photos become embeddings: by which models, and which of their faces."""

    models: FusedModelsOption = ()
    fuse: FuseOption = "mean"
    flip: FlipOption = "none"
    detector: DetectorOption = "mtcnn"
    faces: FacesOption = "largest"
    min_face: MinFaceOption = 20.0
    workers: WorkersOption = 0

    def changed(self) -> frozenset[str]:
        """Names of the fields whose value is not their default."""
        return changed_fields(self)


def keep_blas_single_threaded() -> None:
    """Keep numpy from starting threads, because worker processes use all cores. Call it before numpy is imported."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
