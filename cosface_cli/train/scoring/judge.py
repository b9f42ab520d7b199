"""The score of an epoch: on a list of pairs, or on held-out people. If both exist, the held-out people decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cosface_cli.engines.models.starting_weights import Start
from cosface_cli.outcomes import OnOutcome
from cosface_cli.train.scoring.blending import best_blend
from cosface_cli.train.scoring.hold_out import HeldOut, score
from cosface_cli.train.scoring.validation import validate
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.learner import Learner

if TYPE_CHECKING:
    from cosface_cli.engines.photos.pair_photos import PairCrops


@dataclass(frozen=True, slots=True)
class EpochScore:
    """The result of scoring a network."""

    row: dict[str, object]
    """Values for metrics.jsonl."""
    score: float | None
    """The value by which epochs are compared; None without pairs and people, or without usable vectors."""
    threshold: float | None
    """Best cosine threshold of the pairs; None without pairs."""


UNSCORED = EpochScore({}, None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """Scores the network of a run. All processes call it; rank 0 computes."""

    settings: Settings
    pairs: PairCrops | None
    """Pairs to validate on, if there are any; only on rank 0."""
    held_out: HeldOut | None
    start: Start | None

    def untrained(self, learner: Learner, emit: OnOutcome) -> EpochScore:
        """Score the network before training."""
        result = self._score(learner, {}, emit) if learner.ranks.is_main else UNSCORED
        return learner.ranks.broadcast_object(result)

    def epoch(self, learner: Learner, emit: OnOutcome) -> EpochScore:
        """Score the trained network, or choose the best of its blends with the start and score that."""
        result = self._epoch(learner, emit) if learner.ranks.is_main else UNSCORED
        return learner.ranks.broadcast_object(result)

    def _epoch(self, learner: Learner, emit: OnOutcome) -> EpochScore:
        row: dict[str, object] = {}
        if self.settings.blend and self.held_out and self.start:
            row["blend"], _ = best_blend(learner, self.start.tensors, self.held_out)
        else:
            learner.eval_network = learner.trained_network
        return self._score(learner, row, emit)

    def _score(self, learner: Learner, row: dict[str, object], emit: OnOutcome) -> EpochScore:
        value = threshold = None
        if self.pairs:
            validation = validate(learner, self.settings.embedding_size, self.pairs, emit)
            row, value, threshold = row | validation.row, validation.accuracy, validation.threshold
        if self.held_out:
            held_out_score = score(learner.embed, self.held_out)
            row, value = row | held_out_score.row, held_out_score.score
        return EpochScore(row, value, threshold)
