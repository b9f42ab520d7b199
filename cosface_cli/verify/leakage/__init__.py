"""verify.leakage: what a test set shares with the set that a model was trained on.

from cosface_cli.verify.leakage.stage import leakage
report = leakage(LeakageConfig(train=Path("train.h5"), test=Path("test.h5")))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosface_cli.verify import changed_fields


@dataclass(frozen=True, slots=True)
class LeakageConfig:
    """train: the store of what a model was trained on; test: a store, crops or photos, embedded like it; model: what
    embeds photos, None: the store's, where it is embedded; threshold: the cosine from which the means of two people's
    faces are of one, None: the one that only `far` of the training faces reach with other people of theirs; pairs: a
    list of the test's to score again; the rest as for embed."""

    train: Path
    test: Path
    model: str | None = None
    threshold: float | None = None
    far: float = 1e-6
    pairs: Path | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0
    workers: int = 0

    @property
    def models(self) -> tuple[str, ...]:
        """The model, if one is named."""
        return () if self.model is None else (self.model,)

    def changed(self) -> frozenset[str]:
        """The fields that are not as they are by default."""
        return changed_fields(self)


@dataclass(frozen=True, slots=True)
class LeakageReport:
    """train_faces, test_faces: compared with each other, at threshold; same_files: faces of the test whose file is in
    the training set; copies: others that are a copy or mirror image of one in it; people: of the test who are in it, by
    their faces. by_chance: pairs of people expected to reach the threshold if nobody were, None of a given threshold.
    scores: what the test says with all, without those photos, and without those people: by "of", tar_at_far (as
    maths.rates.Rate), and accuracy where a list with folds was scored. clean: nothing was found."""

    train_faces: int
    test_faces: int
    threshold: float
    same_files: int
    copies: int
    people: int
    by_chance: float | None
    scores: tuple[Mapping[str, Any], ...]
    clean: bool
    model: str
    model_id: str
