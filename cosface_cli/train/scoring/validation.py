"""Verification accuracy of a network in training on a list of pairs, computed as cosface verify does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosface_cli.backbones import Backbone
from cosface_cli.engines.embedders import CPU_BATCH
from cosface_cli.engines.embedders.vectors import unit_embeddings
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.maths.roc import best_threshold, fold_accuracy
from cosface_cli.outcomes import Note, OnOutcome, Outcome, Rejected
from cosface_cli.train import TrainConfig
from cosface_cli.train.step.learner import Learner

if TYPE_CHECKING:
    from cosface_cli.engines.photos.pair_photos import PairCrops

_EQUAL = 1e-6  # cosines that differ by less come from equal vectors


@dataclass(slots=True, kw_only=True)
class NetworkEmbedder:
    """The network in training as an Embedder."""

    learner: Learner
    template: str
    size: int
    name: str = "in training"
    model_id: str = ""
    batch: int = CPU_BATCH
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self.learner.embed(crops)


@dataclass(frozen=True, slots=True)
class Validation:
    """The result on a list of pairs. All values are None if the network gives no usable vectors."""

    accuracy: float | None
    """Mean over the folds, 0..1."""
    error: float | None
    """Its standard error."""
    threshold: float | None
    """The best threshold on all pairs."""

    @property
    def row(self) -> dict[str, object]:
        """As in metrics.jsonl."""
        return {"validation_accuracy": self.accuracy, "validation_error": self.error}


def pair_scores(learner: Learner, size: int, pairs: PairCrops) -> NDArray[np.float64]:
    """The cosine of each pair (P,), NaN if a crop is missing. size: of the embeddings."""
    embedder = NetworkEmbedder(learner=learner, template=learner.backbone.template, size=size)
    vectors = unit_embeddings(embedder, pairs.crops).astype(np.float64)  # (N, D)
    scores: NDArray[np.float64] = (vectors[pairs.left] * vectors[pairs.right]).sum(axis=1)  # (P,)
    scores[(pairs.left < 0) | (pairs.right < 0)] = np.nan
    return scores


def validate(learner: Learner, size: int, pairs: PairCrops, emit: OnOutcome) -> Validation:
    """Accuracy by folds, each at the threshold that is best on the others (Huang 2007). A pair without a score counts
    as an error. Emits a warning if all embeddings are equal."""
    scores = pair_scores(learner, size, pairs)
    wrong = ~np.isfinite(scores)
    if wrong.all():
        emit(Note("warning: no pair has a score: the network gives no usable vectors"))
        return Validation(None, None, None)
    if all_equal(scores):
        emit(Note("warning: all embeddings are equal: the network cannot tell people apart; a lower --lr may help"))
    folds = fold_accuracy(np.where(wrong, 0.0, scores), pairs.same, pairs.fold, wrong)
    threshold = best_threshold(scores[~wrong], pairs.same[~wrong])
    return Validation(folds.mean, folds.standard_error, threshold)


def all_equal(scores: NDArray[np.float64]) -> bool:
    """Whether the network gives the same vector for every crop: all cosines are 1."""
    finite = scores[np.isfinite(scores)]
    return bool(finite.size and np.abs(finite - 1.0).max() < _EQUAL)


def pairs_of(config: TrainConfig, backbone: Backbone, emit: OnOutcome) -> PairCrops | None:
    """The crops of the pairs to validate on; None without --validate. Raises CosfaceError for pairs in one fold,
    because its threshold must be chosen on another fold."""
    if config.validate is None or config.validate_root is None:
        return None
    from cosface_cli.engines.photos.pair_photos import load_pair_crops  # opens a detector's runtime

    def emit_rejects(outcome: Outcome) -> None:  # photos are not inputs of train, which counts epochs
        if isinstance(outcome, Rejected):
            emit(Note(outcome.words))

    pairs = load_pair_crops(config.validate, config.validate_root, template(backbone.template), emit_rejects)
    incomplete = int(((pairs.left < 0) | (pairs.right < 0)).sum())
    without = f", of which {incomplete} lack a crop and count as errors" if incomplete else ""
    emit(Note(f"{config.validate}: {len(pairs.same)} pairs{without}"))
    if np.unique(pairs.fold).size < 2:
        raise CosfaceError("all pairs are in one fold", config.validate, "give pairs in at least two folds")
    return pairs
