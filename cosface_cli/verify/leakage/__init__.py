"""verify.leakage: what a test set shares with the set that a model was trained on.

from cosface_cli.verify.leakage.stage import leakage
report = leakage(LeakageConfig(train=Path("train.h5"), test=Path("test.h5")))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.photos.photo_options import (
    MODELS,
    DetectorOption,
    FacesOption,
    MinFaceOption,
    WorkersOption,
)
from cosface_cli.options import Checked, argument, changed_fields, option


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageConfig(Checked):
    """A training set and a test set, embedded by the same model."""

    train: Annotated[Path, argument("TRAIN.h5", "Store of the faces that a model was trained on.")]
    test: Annotated[Path, argument("TEST", "Store, crops or photos that it is tested on.")]
    model: Annotated[
        str | None,
        option(
            "Model that embeds photos, of the catalogue or by path.",
            known=EMBEDDERS,
            unset="TRAIN.h5's own model",
            group=MODELS,
        ),
    ] = None
    threshold: Annotated[
        float | None,
        option(
            "Cosine of two people's mean faces from which they count as one person.",
            at_least=-1,
            at_most=1,
            unset="from --far",
        ),
    ] = None
    far: Annotated[
        float,
        option(
            "Share of TRAIN.h5's faces that may reach the threshold with another person's mean.", at_least=0, at_most=1
        ),
    ] = 1e-6
    pairs: Annotated[Path | None, option("List of TEST's pairs, to be scored again without the shared photos.")] = None
    detector: DetectorOption = "mtcnn"
    faces: FacesOption = "largest"
    min_face: MinFaceOption = 20.0
    workers: WorkersOption = 0

    @property
    def models(self) -> tuple[str, ...]:
        """The model, if one is named."""
        return () if self.model is None else (self.model,)

    def changed(self) -> frozenset[str]:
        """Names of the fields whose value is not their default."""
        return changed_fields(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakageReport:
    """Counts of the faces and people that are in both sets."""

    train_faces: int
    test_faces: int
    threshold: float
    """Cosine from which two people count as one."""
    same_files: int
    """Faces of the test whose file is in the training set."""
    copies: int
    """Other faces of the test that are a copy or a mirror image of one in the training set."""
    people: int
    """People of the test who are in the training set, by their faces."""
    by_chance: float | None
    """Pairs of people expected to reach the threshold if no person is in both sets; None with --threshold."""
    scores: tuple[Mapping[str, object], ...]
    """Figures of the test with all faces, without those photos, and without those people: "of", tar_at_far (as
    maths.rates.Rate), and accuracy if a list with folds was scored."""
    clean: bool
    """Whether nothing is shared."""
    model: str
    model_id: str
    """Hash of the weights."""
