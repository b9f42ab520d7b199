"""Several trainings on the same crops, each verified on the same pairs, next to the paper's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome
from cosface_cli.paper import ComparisonConfig
from cosface_cli.paper.published_values import COLUMNS, NOTHING
from cosface_cli.paper.trainings.pair_accuracy import (
    PairAccuracy,
    VerificationPairs,
    find_pairs_and_photos,
    verify_network,
)
from cosface_cli.paper.trainings.paper_differences import pair_differences, training_differences
from cosface_cli.paper.trainings.planned_training import PlannedTraining
from cosface_cli.paper.trainings.training_runs import TrainedNetwork, train_all

Verified = tuple[TrainedNetwork, PairAccuracy | None]


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row of a comparison before it is measured."""

    label: Mapping[str, object]
    """The columns that name the row, such as the loss."""
    plan: PlannedTraining
    published: Mapping[str, float]
    """The paper's columns; empty if the paper has none."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The content of a figure or table."""

    rows: tuple[dict[str, object], ...]
    """As printed."""
    differs: tuple[str, ...]
    """Differences from the paper's experiment."""
    runs: tuple[dict[str, object], ...]
    """A record of each training, for the figure's JSON."""

    def column(self, name: str) -> list[Any]:
        """One value for each row."""
        return [row[name] for row in self.rows]

    @property
    def errors(self) -> list[float | None]:
        """The error of each row's accuracy. With several seeds: standard deviation over the seeds, None for a row with
        one finished training. With one seed: standard error over the folds."""
        return self.column("accuracy_sd" if max(self.column("seeds")) > 1 else "accuracy_se")

    @property
    def error_kind(self) -> str:
        """The kind of the errors, for the figure."""
        seeds = max(self.column("seeds"))
        return f"deviation over {seeds} seeds" if seeds > 1 else "standard error over the folds"


def compare(planned: Sequence[PlannedRow], config: ComparisonConfig, emit: OnOutcome) -> Comparison:
    """Train and verify the networks of all rows, as far as this is not done already.

    A row has accuracy (mean over the seeds, 0..1), accuracy_se (standard error over the folds, mean over the seeds),
    accuracy_sd (standard deviation over the seeds, None for one), train_accuracy (of the last epoch, mean over the
    seeds, None for a loss that does not classify), seeds (how many) and place (1 for the most accurate); all None if
    every training was stopped. Raises CosfaceError if no seed is given, and as the stages do.
    """
    if not config.seeds:
        raise CosfaceError("--seeds needs at least one seed", hint="give --seeds 0")
    seeds = list(dict.fromkeys(config.seeds))
    test = find_pairs_and_photos(config)
    plans = [row.plan for row in planned]
    verified: dict[tuple[str, int], Verified] = {}
    for network in train_all(plans, config, seeds, emit):
        is_compared = network.plan in plans and network.stopped is None
        score = verify_network(network, config, test, emit) if is_compared else None
        verified[network.plan.name, network.seed] = network, score
    rows = [_row(row, [verified[row.plan.name, seed] for seed in seeds]) for row in planned]
    for column, place in (("accuracy", "place"), (COLUMNS[0], "paper_place")):
        _rank(rows, column, place)
    results = list(verified.values())
    return Comparison(tuple(rows), _differences(results, test), _records(results))


def _row(planned: PlannedRow, verified: Sequence[Verified]) -> dict[str, object]:
    scores = [score for _, score in verified if score is not None]
    accuracies = [score.accuracy for score in scores]
    train_accuracies = [
        network.accuracy for network, score in verified if score is not None and network.accuracy is not None
    ]
    return {
        **planned.label,
        "accuracy": fmean(accuracies) if accuracies else None,
        "accuracy_se": fmean(score.standard_error for score in scores) if scores else None,
        "accuracy_sd": stdev(accuracies) if len(accuracies) > 1 else None,
        "train_accuracy": fmean(train_accuracies) if train_accuracies else None,
        "seeds": len(accuracies),
        "place": None,
        "paper_place": None,
        **(planned.published or NOTHING),
    }


def _rank(rows: Sequence[dict[str, Any]], column: str, place: str) -> None:
    """Write the place of each row by a column, 1 for the largest; equal values share a place."""
    values = [row[column] for row in rows if row[column] is not None]
    for row in rows:
        if row[column] is not None:
            row[place] = 1 + sum(value > row[column] for value in values)


def _differences(verified: Sequence[Verified], test: VerificationPairs) -> tuple[str, ...]:
    finished = [network for network, _ in verified if network.stopped is None]
    sentences = dict.fromkeys(sentence for network in finished for sentence in training_differences(network))
    missing = max((score.missing for _, score in verified if score is not None), default=0)
    lost = [f"{missing} photos have no detected face; their pairs count as errors"] if missing else []
    return (*sentences, *pair_differences(test), *lost)


def _records(verified: Sequence[Verified]) -> tuple[dict[str, object], ...]:
    return tuple(
        network.record
        | {"accuracy": score.accuracy if score else None, "accuracy_se": score.standard_error if score else None}
        for network, score in verified
    )
