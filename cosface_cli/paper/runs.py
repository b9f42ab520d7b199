"""The trainings behind a figure, each a run folder that is gone on with or left as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.run.run_record import RunFolder, read_metrics, read_record
from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.outcomes import Done, Note, OnOutcome, Outcome, Progress, Rejected, Skipped, ignore
from cosface_cli.paper import Training, published
from cosface_cli.train import TrainConfig, stage
from cosface_cli.train.job import task_of
from cosface_cli.train.setup import recipes

_SAMPLED = {"sampler": "balanced"}  # a batch has several crops of each person: for losses that compare them


@dataclass(frozen=True, slots=True)
class Run:
    """One training of a comparison. name: of its folder in runs/; loss: from its table; asked: what else is its own,
    by TrainConfig's fields; after: the run whose weights it begins with."""

    name: str
    loss: str
    asked: Mapping[str, Any] = field(default_factory=dict)
    after: Run | None = None


@dataclass(frozen=True, slots=True)
class Trained:
    """What came of a run. settings: as in run.json; stopped: why it has no weights, None where it has."""

    run: Run
    seed: int
    folder: Path
    settings: Mapping[str, Any]
    identities: int
    images: int
    steps: int
    accuracy: float | None
    model_id: str | None
    stopped: str | None = None

    @property
    def record(self) -> dict[str, Any]:
        """For the figure's JSON."""
        return {
            "run": str(self.folder),
            "seed": self.seed,
            "model_id": self.model_id,
            "steps": self.steps,
            "settings": dict(self.settings),
            "stopped": self.stopped,
        }


SOFTMAX = Run("softmax", "softmax")
CONTRASTIVE = Run("contrastive", "contrastive", _SAMPLED)
TRIPLET = Run("triplet", "triplet", _SAMPLED)


def lmcl(m: float) -> Run:
    """LMCL with that margin; without one it is NSL."""
    return Run(f"cosface-m{m:g}", "cosface", {"m": m}) if m else Run("nsl", "nsl")


def steps_of(training: Training, run: Run = SOFTMAX) -> int:
    """How many steps each run has. Raises CosfaceError where this one cannot be trained."""
    task = task_of(config_of(replace(run, after=None), training, 0, Path()), ignore)  # its start may not be there yet
    with closing(task.data.readers):
        return task.schedule.steps


def in_turn(runs: Sequence[Run], seeds: Sequence[int]) -> list[tuple[Run, int]]:
    """The runs with each seed, each after the one that it begins with, each once."""
    turn: dict[str, Run] = {}
    for run in runs:
        for one in (*_before(run), run):
            turn.setdefault(one.name, one)
    return [(run, seed) for seed in dict.fromkeys(seeds) for run in turn.values()]


def folder_of(run: Run, seed: int, out: Path) -> Path:
    """out/runs/NAME-seed0."""
    return out / "runs" / f"{run.name}-seed{seed}"


def config_of(run: Run, training: Training, seed: int, out: Path) -> TrainConfig:
    """What the train stage is asked for."""
    asked = dict(run.asked)
    if "s" in LOSSES.load(run.loss).DEFAULTS and training.s is not None:
        asked.setdefault("s", training.s)
    return TrainConfig(
        aligned=training.aligned,
        template=training.template,
        out=folder_of(run, seed, out),
        # a start would ask for the recipe that fine-tunes: all of a comparison have the same
        recipe=training.recipe or _recipe(training),
        start=None if run.after is None else str(folder_of(run.after, seed, out)),
        loss=run.loss,
        backbone=None if run.after else training.backbone,
        epochs=training.epochs,
        steps=training.steps,
        batch=training.batch,
        lr=training.lr,
        seed=seed,
        device=training.device,
        threads=training.threads,
        loaders=training.loaders,
        report=False,
        **asked,
    )


def train_all(
    runs: Sequence[Run], training: Training, seeds: Sequence[int], out: Path, emit: OnOutcome
) -> Iterator[Trained]:
    """Each run with each seed: trained, gone on with, or found done already. Raises CosfaceError as the stage does.

    A run whose loss is no number any more is told as rejected, and is among the results; so is one that would begin
    with its weights. What cannot be trained is known before the first of them begins.
    """
    turn = in_turn(runs, seeds)
    for run, _ in in_turn(runs, [0]):
        steps_of(training, run)
    done: dict[tuple[str, int], Trained] = {}
    for place, (run, seed) in enumerate(turn):
        start = done[run.after.name, seed] if run.after else None
        if start is not None and start.stopped:
            trained = _without_start(run, start, out, emit)
        else:
            trained = _train(run, training, seed, out, _share(emit, place, len(turn)))
        done[run.name, seed] = trained
        yield trained


def _train(run: Run, training: Training, seed: int, out: Path, emit: OnOutcome) -> Trained:
    config = config_of(run, training, seed, out)
    folder = RunFolder(folder_of(run, seed, out))
    name, was, before = folder.root.name, read_record(folder.record), _time_of(folder.stopped)
    stopped = None
    try:
        report = stage.train(config, _heard(name, emit))
        is_same = was is not None and was.finished and was.model_id == report.model_id
        emit(Skipped(name) if is_same else Done(name))
    except CosfaceError as error:
        if _time_of(folder.stopped) in (None, before):  # it is another error than that of a run that went astray
            if "--resume" in (error.hint or ""):  # a run of another length; all of a comparison have the same
                raise CosfaceError(error.problem, error.path, "choose another --out") from None
            raise
        stopped = error.problem
        emit(Rejected(name, "stopped", str(error)))
    record = read_record(folder.record)
    assert record is not None  # written before the first step
    rows = read_metrics(folder.metrics)
    last = rows[-1] if rows else {}
    return Trained(
        run=run,
        seed=seed,
        folder=folder.root,
        settings=record.settings,
        identities=len(record.identities),
        images=int(record.data["crops"]),
        steps=int(last.get("step", 0)),
        accuracy=last.get("accuracy"),
        model_id=record.model_id,
        stopped=stopped,
    )


def _without_start(run: Run, start: Trained, out: Path, emit: OnOutcome) -> Trained:
    folder = folder_of(run, start.seed, out)
    words = f"{start.folder.name}, which it begins with, was stopped"
    emit(Rejected(folder.name, "stopped", words))
    return replace(start, run=run, folder=folder, settings={}, steps=0, accuracy=None, stopped=words)


def differences(trained: Trained) -> list[str]:
    """In which ways a training is not the paper's on CASIA-WebFace (section 4.1)."""
    settings, found = trained.settings, []
    if (trained.identities, trained.images) != (published.IDENTITIES, published.IMAGES):
        found.append(
            f"data: {trained.identities:,} identities, {trained.images:,} crops; the paper's CASIA-WebFace has "
            f"{published.IDENTITIES:,} and {published.IMAGES:,}"
        )
    if settings["backbone"] != published.BACKBONE:
        found.append(f"network: {settings['backbone']}; the paper's is {published.BACKBONE}")
    if (trained.steps, settings["batch"]) != (published.STEPS, published.BATCH):
        found.append(
            f"length: {trained.steps:,} steps of {settings['batch']} crops; the paper's {published.STEPS:,} of "
            f"{published.BATCH}"
        )
    s = settings["head"].get("s")
    if s not in (None, published.S):
        found.append(f"scale: s {s:g}; the paper's {published.S:g}")
    return found


def margin_differences(m: float) -> list[str]:
    """Whether LMCL's margin is another than the paper's."""
    return [] if m == published.M else [f"margin: m {m:g}; the paper's {published.M:g}"]


def _heard(name: str, emit: OnOutcome) -> OnOutcome:
    """What the train stage tells, as of one input among several: sentences under the run's name, and how far it is.

    Its sentences wait until a step was done: of a run that is finished already there is nothing to say.
    """
    waiting: list[Note] = []

    def passed(outcome: Outcome) -> None:
        match outcome:
            case Note(text=text):
                waiting.append(Note(f"{name}: {text}"))
                return
            case Skipped():
                waiting.clear()
        while waiting:
            emit(waiting.pop(0))
        match outcome:
            case Progress():
                emit(outcome)
            case Done(rows=(row,)):
                numbers = ", ".join(f"{key} {row[key]:.4g}" for key in ("loss", "accuracy") if row.get(key) is not None)
                emit(Note(f"{name}: epoch {row['epoch']}, {numbers}"))

    return passed


def _share(emit: OnOutcome, place: int, count: int) -> OnOutcome:
    """How far one of count runs is, as how far all of them are, in thousandths of a run."""

    def passed(outcome: Outcome) -> None:
        if isinstance(outcome, Progress):
            outcome = Progress(1000 * place + 1000 * outcome.done // outcome.total, 1000 * count)
        emit(outcome)

    return passed


def _recipe(training: Training) -> str:
    images, _ = recipes.census(training.aligned)
    recipe, _ = recipes.chosen(images)
    return recipe.name


def _before(run: Run) -> list[Run]:
    return [] if run.after is None else [*_before(run.after), run.after]


def _time_of(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
