"""The end of a run: an ONNX export of the kept weights, the report page, and the result for the caller."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cosface_cli.artifacts.crops.manifest import read_lines
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.run.run_record import RunFolder, RunRecord, read_metrics, write_record
from cosface_cli.artifacts.run.weights import read_header, read_tensors
from cosface_cli.backbones.build_backbone import load
from cosface_cli.backbones.export import to_onnx
from cosface_cli.engines.embedders.onnx_file import notes_of
from cosface_cli.engines.models.starting_weights import Start
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train import TrainReport
from cosface_cli.train.job import TrainingJob
from cosface_cli.train.report.run_page import TrainedRun, write_report
from cosface_cli.train.run_folder.outputs import RunOutputs
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.loop import TrainState

if TYPE_CHECKING:
    from cosface_cli.engines.photos.pair_photos import PairCrops


def note_kept_epoch(state: TrainState, settings: Settings, start: Start | None, emit: OnOutcome) -> None:
    """Emit which weights are kept, if epochs were scored."""
    if settings.keep != "best" or state.best is None:
        return
    if state.best_epoch == 0 and start is not None:
        emit(Note("no epoch has a better score than the start: the start's weights are kept"))
    else:
        emit(Note(f"kept: the weights of epoch {state.best_epoch}, score {state.best:.4g}"))


def finish_run(outputs: RunOutputs, pairs: PairCrops | None, state: TrainState, report: bool, emit: OnOutcome) -> None:
    """On rank 0: export the kept network, write the report page if `report`, and record that the run is finished.
    pairs: the pairs on which it was validated."""
    folder, job = outputs.folder, outputs.job
    shape = template(job.backbone.template)
    header = read_header(folder.weights)
    network = load(header.backbone, header.embedding_size, read_tensors(folder.weights))
    notes = notes_of(header.template, header.mean, header.std)
    atomic.write_bytes(folder.onnx, to_onnx(network, shape.height, shape.width, notes))
    best_epoch = state.best_epoch if job.settings.keep == "best" else None
    if report:
        trained = TrainedRun(
            network=network, header=header, record=outputs.record, rows=outputs.rows, best_epoch=best_epoch
        )
        write_report(folder, job, outputs.learner, pairs, trained, emit)
    outputs.record = replace(outputs.record, finished=True, model_id=header.model_id, best_epoch=best_epoch)
    write_record(folder.record, outputs.record)


def report_of(folder: RunFolder, record: RunRecord, job: TrainingJob, resumed_from: int | None) -> TrainReport:
    """The result for the caller. All processes get that of rank 0."""
    rows = read_metrics(folder.metrics) if job.ranks.is_main else []
    report = TrainReport(
        out=folder.root,
        weights=folder.weights,
        model_id=str(record.model_id),
        identities=len(job.data.identities),
        images=len(job.data.crops),
        epochs=int(rows[-1]["epoch"]) if rows else 0,
        resumed_from=resumed_from,
        last=rows[-1] if rows else {},
        best_epoch=record.best_epoch,
        suspects=len(list(read_lines(folder.noise))) if folder.noise.is_file() else None,
    )
    return job.ranks.broadcast_object(report)
