"""What an epoch is worth: pairs of a file, people held out, or both. Those held out decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
class Scored:
    """row: for metrics.jsonl; score: by which epochs are compared, None where there is nothing to score on or the
    network has no score; threshold: of the pairs."""

    row: dict[str, Any]
    score: float | None
    threshold: float | None


UNSCORED = Scored({}, None, None)


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """What epochs are scored on, each None where it was not asked for."""

    settings: Settings
    pairs: PairCrops | None
    held: HeldOut | None
    start: Start | None

    def untrained(self, learner: Learner, emit: OnOutcome) -> Scored:
        """Score the network as it begins."""
        return self._scored(learner, {}, emit)

    def epoch(self, learner: Learner, emit: OnOutcome) -> Scored:
        """Score the network as it is, or show the best of its blends with the start and score that."""
        row: dict[str, Any] = {}
        if self.settings.blend and self.held and self.start:
            row["blend"], _ = best_blend(learner, self.start.tensors, self.held)
        else:
            learner.shown = learner.average.network if learner.average else learner.network
        return self._scored(learner, row, emit)

    def _scored(self, learner: Learner, row: dict[str, Any], emit: OnOutcome) -> Scored:
        value = threshold = None
        if self.pairs:
            checked = validate(learner, self.settings.embedding_size, self.pairs, emit)
            row, value, threshold = row | checked.row, checked.accuracy, checked.threshold
        if self.held:
            found = score(learner.embed, self.held)
            row, value = row | found.row, found.score
        return Scored(row, value, threshold)
