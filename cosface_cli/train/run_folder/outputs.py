"""The outputs of a run: weights with their header, class weights, and a row per epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.run.run_record import RunFolder, RunRecord, read_metrics, write_metrics, write_record
from cosface_cli.artifacts.run.tensorboard_events import write_events
from cosface_cli.artifacts.run.weights import Weights, save_tensors, save_weights, tensors_id
from cosface_cli.backbones.build_backbone import tensors_of
from cosface_cli.train.job import TrainingJob
from cosface_cli.train.step.learner import Learner
from cosface_cli.train.step.loop import TrainState


@dataclass(slots=True, eq=False, kw_only=True)
class RunOutputs:
    """The files of a run. All processes call its methods; rank 0 writes."""

    folder: RunFolder
    record: RunRecord
    job: TrainingJob
    learner: Learner
    rows: list[dict[str, object]]
    """The rows of metrics.jsonl so far."""

    def write_row(self, row: dict[str, object]) -> None:
        """Add a row to metrics.jsonl, and for TensorBoard if that is installed."""
        self.rows.append(row)
        if self.learner.ranks.is_main:
            write_metrics(self.folder.metrics, self.rows)
            write_events(self.folder.events, self.rows)

    def write_weights(self, threshold: float | None, is_best: bool) -> None:
        """Write the scored network: as last.safetensors if epochs are scored, and as weights.safetensors, with its
        class weights, if it is the best, or if --keep is last.

        threshold: cosine from which two crops count as one person; None if no pairs were scored.
        """
        settings, learner, folder = self.job.settings, self.learner, self.folder
        is_kept = is_best or settings.keep == "last" or not folder.weights.exists()
        is_kept = learner.ranks.broadcast_bool(is_kept)
        class_weights = {}
        if is_kept:
            for name, tensor in learner.modules["head"].state_dict().items():
                class_weights[name] = learner.head.gather_rows(tensor).numpy()
        if not learner.ranks.is_main:
            return
        tensors = tensors_of(learner.eval_network)
        header = self._header(tensors, threshold)
        if settings.is_scored:
            save_weights(folder.last, tensors, header)
        if is_kept:
            save_weights(folder.weights, tensors, header)
            save_tensors(folder.head, class_weights, {"model_id": header.model_id})

    def _header(self, tensors: Mapping[str, NDArray[np.generic]], threshold: float | None) -> Weights:
        settings, backbone, start = self.job.settings, self.job.backbone, self.job.start
        return Weights(
            backbone=settings.backbone,
            embedding_size=settings.embedding_size,
            template=backbone.template,
            model_id=tensors_id(tensors),
            mean=backbone.mean,
            std=backbone.std,
            loss={"name": settings.loss, **settings.loss_options},
            identities=len(self.record.identities),
            data={name: self.record.data[name] for name in ("fingerprint", "crops")},
            licence=start.licence if start else None,
            lineage=start.lineage if start else (),
            threshold=threshold,
        )


def begin_outputs(
    folder: RunFolder, record: RunRecord, job: TrainingJob, learner: Learner, state: TrainState
) -> RunOutputs:
    """The outputs of a run that begins or resumes. Writes run.json, and removes the files that only a finished or a
    stopped run has."""
    rows: list[dict[str, object]] = []
    if job.ranks.is_main:
        atomic.make_folder(folder.state.parent)
        write_record(folder.record, record)
        for stale in (folder.stopped, folder.report, folder.noise):
            stale.unlink(missing_ok=True)
        rows = _rows_of_state(folder, state, job.schedule.steps)
    return RunOutputs(folder=folder, record=record, job=job, learner=learner, rows=rows)


def _rows_of_state(folder: RunFolder, state: TrainState, steps: int) -> list[dict[str, object]]:
    """The rows of the epochs that the saved state includes; the others are trained again."""
    if state.step == 0:
        return []
    rows = read_metrics(folder.metrics)
    finished = [row for row in rows if row["epoch"] < state.epoch]
    if state.step < steps:
        return finished
    return finished + [row for row in rows if row["epoch"] == state.epoch and row.get("step") == state.step]
