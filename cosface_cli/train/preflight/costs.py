"""The costs of a run: memory and time."""

from __future__ import annotations

from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train.crops.dataset import Batch
from cosface_cli.train.job import TrainingJob
from cosface_cli.train.preflight.footprint import Footprint, measure
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.learner import Learner


def measured_costs(learner: Learner, job: TrainingJob, batch: Batch, emit: OnOutcome) -> dict[str, object]:
    """Measure a step of this process with its part of a batch, and emit the costs of the run."""
    footprint = measure(learner, job.settings, batch)
    return report_costs(footprint, job.settings, len(batch.labels), job.ranks.world_size, job.schedule.steps, emit)


def report_costs(
    footprint: Footprint, settings: Settings, batch: int, processes: int, steps: int, emit: OnOutcome
) -> dict[str, object]:
    """Emit memory and time of a run on this device, and a warning for a batch that does not fit; returns them as a row.

    batch: crops of each process in a step.
    """
    slice_size = -(-batch // settings.accumulate)
    activations = slice_size * footprint.per_crop
    seconds = steps * batch * footprint.seconds_per_crop
    rate = processes / footprint.seconds_per_crop
    most = footprint.largest_batch
    parts = {
        "network": footprint.network,
        "head": footprint.head,
        "optimizer": footprint.optimizer,
        "average": footprint.average,
    }
    each = f" in each of {processes} processes" if processes > 1 else ""
    words = ", ".join(f"{name} {_size(size)}" for name, size in parts.items() if size)
    room = "" if most is None else f"; {_size(footprint.available or 0)} are free: about {most:,} crops fit at once"
    emit(Note(f"memory{each}: activations of {slice_size} crops {_size(activations)}, {words}{room}"))
    emit(Note(f"time: about {_duration(seconds)} for {steps:,} steps ({rate:.3g} crops/s)"))
    if most is not None and slice_size > most:
        slices = -(-batch // max(2, most))
        emit(Note(f"warning: {slice_size} crops at once do not fit: lower --batch, or --accumulate {slices}"))
    return {
        "bytes_activations": activations,
        **{f"bytes_{name}": size for name, size in parts.items()},
        "bytes_free": footprint.available,
        "largest_batch": most,
        "images_per_second": rate,
        "seconds": seconds,
    }


def _size(count: int) -> str:
    """A number of bytes with its unit."""
    for size, unit in ((2**30, "GB"), (2**20, "MB")):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 2**10:.1f} kB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
