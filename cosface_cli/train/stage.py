"""The functions of train: from a crop folder to a run folder, and the estimate before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.run.run_record import RunFolder, RunRecord
from cosface_cli.outcomes import Done, Note, OnOutcome, Progress, Skipped, ignore
from cosface_cli.train import TrainConfig, TrainReport
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.distributed.launch import StoppedElsewhere, run_in_processes
from cosface_cli.train.job import TrainingJob, first_batch, learner_of, training_job
from cosface_cli.train.preflight.costs import measured_costs
from cosface_cli.train.preflight.data_summary import summarise
from cosface_cli.train.run_folder.checkpoint import Checkpoints
from cosface_cli.train.run_folder.finish import finish_run, note_kept_epoch, report_of
from cosface_cli.train.run_folder.outputs import RunOutputs, begin_outputs
from cosface_cli.train.run_folder.resume import compare_machines, is_finished, machine_of, previous_run, resumed_state
from cosface_cli.train.run_folder.stopped import write_stopped
from cosface_cli.train.scoring.judge import Judge
from cosface_cli.train.scoring.validation import pairs_of
from cosface_cli.train.setup.device import deterministic
from cosface_cli.train.setup.settings import default_out
from cosface_cli.train.step.class_centres import begin_at_centres
from cosface_cli.train.step.loop import NotFinite, TrainState, train_epoch, untrained_row
from cosface_cli.train.step.throughput import Throughput


def train(config: TrainConfig, emit: OnOutcome = ignore) -> TrainReport:
    """Train a network on a crop folder, or resume a run that was interrupted.

    Emits a Done for each epoch. Its row has the line of metrics.jsonl, images_per_second, and wait: the share 0..1 of
    the time in which the network waited for crops. Raises CosfaceError for crops or settings that cannot be used, for a
    run folder of another run, and if the loss is not finite.
    """
    return run_in_processes(train_in_process, config, emit)


def preflight(config: TrainConfig, emit: OnOutcome = ignore) -> dict[str, Any]:
    """What is known before the first step, as notes and as a row: the crops, the bounds of s and m, the first loss, and
    memory and time of each process. Writes nothing. Raises CosfaceError as train does."""
    return run_in_processes(_preflight, config, emit)


def train_in_process(config: TrainConfig, ranks: Ranks, emit: OnOutcome) -> TrainReport:
    """The training in one of the processes that share it."""
    job = training_job(config, emit, ranks)
    folder = RunFolder(config.out or default_out(job.settings))
    with _locked(folder, ranks):
        previous = ranks.broadcast_object(previous_run(folder, job, config.resume, emit) if ranks.is_main else None)
        if previous and ranks.broadcast_bool(is_finished(folder, previous, job.settings, config.report)):
            unit = "epochs" if job.settings.steps is None else "steps"
            emit(Note(f"{folder.root}: this run is finished; continue it with --{unit} N --resume"))
            emit(Skipped(str(folder.root)))
            return report_of(folder, previous, job, resumed_from=None)
        summarise(job, emit)
        machine = machine_of(job, config.threads, previous)
        if previous:
            compare_machines(previous.machine, machine, emit)
        elif ranks.is_main:
            folder.state.unlink(missing_ok=True)  # without run.json the run of this state is unknown
        record = RunRecord(
            settings=job.settings.as_json(), data=job.facts, identities=job.data.identities, machine=machine
        )
        pairs = pairs_of(config, job.backbone, emit) if ranks.is_main else None
        judge = Judge(job.settings, pairs, job.held_out, job.start)
        with closing(job.data.loader), deterministic(job.device, machine["threads"]):
            return _run(folder, record, job, judge, config, emit)


def _run(
    folder: RunFolder, record: RunRecord, job: TrainingJob, judge: Judge, config: TrainConfig, emit: OnOutcome
) -> TrainReport:
    settings, data, schedule = job.settings, job.data, job.schedule
    learner = learner_of(job)
    state = resumed_state(folder, job, learner, emit)
    resumed_from = state.step or None
    outputs = begin_outputs(folder, record, job, learner, state)
    checkpoints = Checkpoints(folder.state, learner, state, config.save_seconds)

    def after_step() -> None:
        emit(Progress(state.step, schedule.steps))
        checkpoints.save_if_due()

    if state.step == 0:
        _before_first_step(outputs, state, judge, emit)

    try:
        while state.step < schedule.steps and not state.is_patience_over(settings.patience):
            throughput = Throughput(state, data)
            row = train_epoch(learner, data, schedule, settings, state, after_step)
            measured = throughput.row()

            scored = judge.epoch(learner, emit)
            is_best = state.add_score(row["epoch"], scored.score)
            outputs.write_weights(scored.threshold, is_best)
            outputs.write_row(row | scored.row)
            checkpoints.save()  # written last: with it the epoch counts as done
            emit(Done(f"epoch {row['epoch']}", (row | scored.row | measured,)))
    except NotFinite as error:
        if not job.ranks.is_main:
            raise StoppedElsewhere("process 0 prints the error") from None
        raise write_stopped(folder, error, settings, state.best_epoch) from None

    if state.is_patience_over(settings.patience):
        emit(Note(f"no better score for {settings.patience} epochs (--patience): stopped"))
    note_kept_epoch(state, settings, job.start, emit)
    if job.ranks.is_main:
        finish_run(outputs, judge.pairs, state, config.report, emit)
    return report_of(folder, outputs.record, job, resumed_from)


def _before_first_step(outputs: RunOutputs, state: TrainState, judge: Judge, emit: OnOutcome) -> None:
    """Emit the costs of a new run, and write the row of epoch 0. With a start, also write its weights, which stay if no
    epoch is better."""
    job, learner = outputs.job, outputs.learner
    batch = first_batch(job)
    measured_costs(learner, job, batch, emit)
    if job.start:
        begin_at_centres(learner, job.data)
    row = untrained_row(learner, batch, job.schedule, job.settings)
    scored = judge.untrained(learner, emit)
    if job.start:
        state.add_score(0, scored.score)
        outputs.write_weights(scored.threshold, is_best=True)
    outputs.rows.clear()
    outputs.write_row(row | scored.row)
    numbers = ((name, "none" if value is None else f"{value:.4g}") for name, value in outputs.rows[0].items())
    emit(Note("before training: " + ", ".join(f"{name} {number}" for name, number in numbers)))


def _preflight(config: TrainConfig, ranks: Ranks, emit: OnOutcome) -> dict[str, Any]:
    job = training_job(config, emit, ranks)
    summary = summarise(job, emit)
    with closing(job.data.loader), deterministic(job.device, machine_of(job, config.threads, None)["threads"]):
        row = summary.row | measured_costs(learner_of(job), job, first_batch(job), emit)
    emit(Done(job.source, (row,)))
    return row


@contextmanager
def _locked(folder: RunFolder, ranks: Ranks) -> Iterator[None]:
    """Rank 0 locks the run folder for all processes."""
    if not ranks.is_main:
        yield
        return
    root = folder.root.absolute()
    atomic.make_folder(root.parent)
    with atomic.lock(root):
        yield
