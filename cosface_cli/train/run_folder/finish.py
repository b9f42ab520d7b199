"""How a run ends: with an export of the network that was kept, a page about it, and a report to whoever called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cosface_cli.artifacts.crops.manifest import read_lines
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.run.run_record import RunFolder, RunRecord, read_metrics, write_record
from cosface_cli.artifacts.run.weights import read_header, read_tensors
from cosface_cli.backbones.export import to_onnx
from cosface_cli.backbones.loading import load
from cosface_cli.engines.embedders.onnx_file import notes_of
from cosface_cli.engines.models.starting_weights import Start
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train import TrainReport
from cosface_cli.train.job import Task
from cosface_cli.train.report.page import Trained, write_report
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.learner import Learner
from cosface_cli.train.step.loop import TrainState

if TYPE_CHECKING:
    from cosface_cli.engines.photos.pair_photos import PairCrops


def say_kept(progress: TrainState, settings: Settings, start: Start | None, emit: OnOutcome) -> None:
    """Say which weights were kept, where epochs were compared."""
    if settings.keep != "best" or progress.best is None:
        return
    if progress.best_epoch == 0 and start is not None:
        emit(Note("no epoch did better than the start on people it was not trained on: the start's weights are kept"))
    else:
        emit(Note(f"kept: the weights of epoch {progress.best_epoch}, score {progress.best:.4g}"))


def finished(
    folder: RunFolder,
    record: RunRecord,
    task: Task,
    learner: Learner,
    pairs: PairCrops | None,
    rows: Sequence[Mapping[str, Any]],
    best_epoch: int | None,
    report: bool,
    emit: OnOutcome,
) -> RunRecord:
    """Export the network that was kept, write the run's page if it is wanted, and note that the run is finished.

    pairs: that it was validated on; rows: of metrics.jsonl; best_epoch: whose weights they are, None where no epoch was
    scored.
    """
    shape = template(task.backbone.template)
    header = read_header(folder.weights)
    network = load(header.backbone, header.embedding_size, read_tensors(folder.weights))
    notes = notes_of(header.template, header.mean, header.std)
    atomic.write_bytes(folder.onnx, to_onnx(network, shape.height, shape.width, notes))
    if report:
        write_report(folder, task, learner, pairs, Trained(network, header, record, rows, best_epoch), emit)
    record = replace(record, finished=True, model_id=header.model_id, best_epoch=best_epoch)
    write_record(folder.record, record)
    return record


def report_of(folder: RunFolder, record: RunRecord | None, task: Task, resumed_from: int | None) -> TrainReport:
    """The report, in every process that of the first."""
    assert record is not None
    rows = read_metrics(folder.metrics) if task.ranks.is_first else []
    report = TrainReport(
        out=folder.root,
        weights=folder.weights,
        model_id=str(record.model_id),
        identities=len(task.data.identities),
        images=len(task.data.crops),
        epochs=int(rows[-1]["epoch"]) if rows else 0,
        resumed_from=resumed_from,
        last=rows[-1] if rows else {},
        best_epoch=record.best_epoch,
        suspects=len(list(read_lines(folder.noise))) if folder.noise.is_file() else None,
    )
    return task.ranks.told(report)
