"""Several trainings on the same crops, each verified on the same pairs, beside what the paper says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import OnOutcome
from cosface_cli.paper import Measuring, Training, runs, scores
from cosface_cli.paper.published import COLUMNS, NOTHING
from cosface_cli.paper.runs import Run, Trained
from cosface_cli.paper.scores import Score


@dataclass(frozen=True, slots=True)
class Entry:
    """A row to be. label: its columns that say what it is; published: the paper's columns, empty where it has none."""

    label: Mapping[str, Any]
    run: Run
    published: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """rows: as the figure prints them; differs: from the paper's experiment; runs: for its JSON."""

    rows: tuple[dict[str, Any], ...]
    differs: tuple[str, ...]
    runs: tuple[dict[str, Any], ...]

    def column(self, name: str) -> list[Any]:
        """One value a row."""
        return [row[name] for row in self.rows]

    @property
    def errors(self) -> list[float | None]:
        """Of each row: its deviation over the seeds, none where one alone was not stopped; or over the folds where
        there is one seed."""
        return self.column("accuracy_sd" if max(self.column("seeds")) > 1 else "accuracy_se")

    @property
    def bars(self) -> str:
        """What the errors are, in words."""
        seeds = max(self.column("seeds"))
        return f"deviation over {seeds} seeds" if seeds > 1 else "standard error over the folds"


def compare(
    entries: Sequence[Entry], training: Training, measuring: Measuring, seeds: Sequence[int], out: Path, emit: OnOutcome
) -> Comparison:
    """Train and score what is missing.

    A row has accuracy (mean over the seeds, 0..1), accuracy_se (standard error over the folds, mean over the seeds),
    accuracy_sd (deviation over the seeds, None for one), train_accuracy (of the last epoch, mean over the seeds, None
    for a loss that does not classify), seeds (how many) and place (1 for the most accurate), None where every run was
    stopped. Raises CosfaceError where no seed is given, or one below 0, and as the stages do.
    """
    if not seeds:
        raise CosfaceError("no seed", hint="give --seeds 0")
    if min(seeds) < 0:
        raise CosfaceError("--seeds must be 0 or more")
    seeds = list(dict.fromkeys(seeds))
    compared = scores.photos(measuring)
    shown = [entry.run for entry in entries]
    found: dict[tuple[str, int], tuple[Trained, Score | None]] = {}
    for trained in runs.train_all(shown, training, seeds, out, emit):
        is_scored = trained.run in shown and trained.stopped is None
        scored = scores.score(trained, compared, out, emit) if is_scored else None
        found[trained.run.name, trained.seed] = trained, scored
    rows = [_row(entry, [found[entry.run.name, seed] for seed in seeds]) for entry in entries]
    for column, place in (("accuracy", "place"), (COLUMNS[0], "paper_place")):
        _number(rows, column, place)
    return Comparison(tuple(rows), _differs(list(found.values()), compared), _records(found.values()))


def _row(entry: Entry, found: Sequence[tuple[Trained, Score | None]]) -> dict[str, Any]:
    have = [score for _, score in found if score is not None]
    values = [score.accuracy for score in have]
    trained = [run.accuracy for run, score in found if score is not None and run.accuracy is not None]
    return {
        **entry.label,
        "accuracy": fmean(values) if values else None,
        "accuracy_se": fmean(score.error for score in have) if values else None,
        "accuracy_sd": stdev(values) if len(values) > 1 else None,
        "train_accuracy": fmean(trained) if trained else None,
        "seeds": len(values),
        "place": None,
        "paper_place": None,
        **(entry.published or NOTHING),
    }


def _number(rows: Sequence[dict[str, Any]], column: str, place: str) -> None:
    """Equal values share a place."""
    values = [row[column] for row in rows if row[column] is not None]
    for row in rows:
        if row[column] is not None:
            row[place] = 1 + sum(value > row[column] for value in values)


def _differs(found: Sequence[tuple[Trained, Score | None]], compared: scores.Photos) -> tuple[str, ...]:
    whole = [trained for trained, _ in found if trained.stopped is None]
    sentences = dict.fromkeys(words for trained in whole for words in runs.differences(trained))
    missing = max((score.missing for _, score in found if score is not None), default=0)
    lost = [f"{missing} photos gave no face; their pairs count as errors"] if missing else []
    return (*sentences, *scores.differences(compared), *lost)


def _records(found: Any) -> tuple[dict[str, Any], ...]:
    return tuple(
        trained.record | {"accuracy": score.accuracy if score else None, "accuracy_se": score.error if score else None}
        for trained, score in found
    )
