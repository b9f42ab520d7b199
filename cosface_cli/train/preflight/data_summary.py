"""A summary of the data of a run: the crops, what was left out, the bounds of s and m, the first loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.losses import LOSSES
from cosface_cli.maths.bounds import loss_at_random, loss_at_right_angles, margin_upper_bound, scale_lower_bound
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train.crops.dataset import LabelledCrops
from cosface_cli.train.job import TrainingJob
from cosface_cli.train.preflight.checks import check_slices, is_bound_loose
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.schedule import Schedule

PROBABILITIES = (0.9, 0.99, 0.999)  # of a class centre's own identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is known before the first step, without computing a step."""

    identities: int
    images: int
    images_per_identity: tuple[int, float, int]
    """Least, median, most."""
    held_out: int
    """Identities that are not trained on."""
    dropped: int
    """Crops that are left out."""
    s_bounds: dict[float, float]
    """Least s by probability (Wang 2018 Eq. 6)."""
    m_bound: float
    """Largest m (Wang 2018 Eq. 7)."""
    first_loss: float | None
    """Expected loss of random weights; None for losses without an estimate."""
    steps: int

    @property
    def row(self) -> dict[str, object]:
        """For --dry-run."""
        least, median, most = self.images_per_identity
        return {
            "identities": self.identities,
            "images": self.images,
            "images_min": least,
            "images_median": median,
            "images_max": most,
            "identities_held_out": self.held_out,
            "images_dropped": self.dropped,
            **{f"s_bound_{probability:g}": bound for probability, bound in self.s_bounds.items()},
            "m_bound": self.m_bound,
            "first_loss": self.first_loss,
            "steps": self.steps,
        }


def summarise(job: TrainingJob, emit: OnOutcome) -> Summary:
    """Emit the crops to train on, what was left out and why, identities with too few crops, the bounds, and warnings if
    the run is too short for its schedule. Raises CosfaceError if a step cannot be divided into its slices."""
    data, held_out, settings = job.data, job.held_out, job.settings
    counts = np.bincount(data.labels, minlength=len(data.identities))
    least, median, most = int(counts.min()), float(np.median(counts)), int(counts.max())
    each = f"{least}" if least == most else f"{least} to {most}, median {median:g}"
    emit(Note(f"{job.source}: {len(data.crops)} crops of {len(data.identities)} identities, {each} each"))
    if held_out:
        pairs = f"scored by all pairs of {len(held_out.crops)} of their crops"
        emit(Note(f"held out: {held_out.people} identities, {pairs}"))
    _note_dropped(job, emit)
    _note_few_crops(data, counts, settings, emit)
    check_slices(settings, data)
    identities = len(data.identities)
    classes = _classes_of_a_step(data, settings)
    summary = Summary(
        identities=identities,
        images=len(data.crops),
        images_per_identity=(least, median, most),
        held_out=held_out.people if held_out else 0,
        dropped=job.dropped.loose + job.dropped.images,
        s_bounds={probability: scale_lower_bound(identities, probability) for probability in PROBABILITIES},
        m_bound=margin_upper_bound(identities, settings.embedding_size),
        first_loss=None if settings.start else _first_loss(settings, classes),
        steps=job.schedule.steps,
    )
    _note_bounds(summary, settings, emit)
    _note_first_loss(summary, settings, classes, emit)
    _note_low_scale(summary, settings, emit)
    _note_short_run(job.schedule, emit)
    return summary


def _note_dropped(job: TrainingJob, emit: OnOutcome) -> None:
    data, dropped, settings = job.data, job.dropped, job.settings
    if dropped.loose:
        emit(Note(f"left out {dropped.loose} crops that lie outside of identity folders"))
    if dropped.identities:
        fewer = f"fewer than {settings.min_images} crops (--min-images), {dropped.images} crops in all"
        emit(Note(f"left out {dropped.identities} identities with {fewer}"))
    rest = len(data.crops) - data.steps * data.batch_size
    if rest and not settings.sampling.is_balanced:  # which repeats crops too
        emit(Note(f"each epoch leaves out {rest} crops that do not fill a batch; they are others in each epoch"))


def _note_few_crops(data: LabelledCrops, counts: NDArray[np.int64], settings: Settings, emit: OnOutcome) -> None:
    if LOSSES.load(settings.loss).PAIRS and not settings.sampling.is_balanced:
        emit(Note(f"{settings.loss} compares crops within a batch: --sampler balanced takes several of each person"))
    single = int((counts < 2).sum())
    if single:
        emit(Note(f"warning: {single} identities have only one crop; --min-images 2 leaves them out"))
    if data.batch_size < settings.batch:
        emit(Note(f"fewer crops than --batch {settings.batch}: each step takes all {data.batch_size}"))


def _classes_of_a_step(data: LabelledCrops, settings: Settings) -> int:
    """The number of classes in the first step: all, or the sampled share, which always includes those of the step's
    crops."""
    if settings.sample_rate == 1:
        return len(data.identities)
    present = np.unique(data.labels[data.order(1)[: data.batch_size]]).size
    return max(2, present, round(settings.sample_rate * len(data.identities)))


def _first_loss(settings: Settings, classes: int) -> float | None:
    """The expected loss of random weights."""
    margin = _margin_at_right_angle(settings)
    if margin is None:
        return None
    if "s" not in settings.loss_options:
        return loss_at_right_angles(classes, 0.0, margin)
    return loss_at_random(classes, settings.embedding_size, settings.loss_options["s"], margin)


def _margin_at_right_angle(settings: Settings) -> float | None:
    return LOSSES.load(settings.loss).margin_at_right_angle(**settings.loss_options)


def _note_bounds(summary: Summary, settings: Settings, emit: OnOutcome) -> None:
    s = settings.loss_options.get("s")
    if s is not None:
        bounds = ", ".join(f"{bound:.4g} for {probability:g}" for probability, bound in summary.s_bounds.items())
        emit(Note(f"s {s:g}; the least by Wang 2018 Eq. 6 is {bounds}"))
    name = LOSSES.load(settings.loss).MARGIN_COS
    if name:
        below = "far below " if is_bound_loose(summary.identities, settings.embedding_size) else ""
        emit(Note(f"{name} {settings.loss_options[name]:g}; the most by Eq. 7 is {below}{summary.m_bound:.3g}"))


def _note_first_loss(summary: Summary, settings: Settings, classes: int, emit: OnOutcome) -> None:
    s, margin = settings.loss_options.get("s"), _margin_at_right_angle(settings)
    if summary.first_loss is None or margin is None:
        return
    if s is None:
        emit(Note(f"expected first loss: {summary.first_loss:.1f}"))
        return
    flat = loss_at_right_angles(classes, s, margin)
    random = f"{summary.first_loss:.1f} with random class weights"
    emit(Note(f"expected first loss: {flat:.1f} at cosines of 0, {random}"))


def _note_low_scale(summary: Summary, settings: Settings, emit: OnOutcome) -> None:
    s = settings.loss_options.get("s")
    missed = [probability for probability, bound in summary.s_bounds.items() if s is not None and s < bound]
    if missed:
        bound = f"{summary.s_bounds[missed[0]]:.4g}, which {summary.identities} identities need"
        reason = f"for a probability of {missed[0]:g} (Wang 2018 Eq. 6): the loss will stay high"
        emit(Note(f"warning: s {s:g} is below {bound} {reason}"))


def _note_short_run(schedule: Schedule, emit: OnOutcome) -> None:
    steps = f"the run's {schedule.steps:,} steps"
    if schedule.warmup > schedule.steps:
        warmup = f"the warm-up of {schedule.warmup:,} steps (--warmup)"
        emit(Note(f"warning: {warmup} is longer than {steps}: the learning rate never reaches {schedule.lr:g}"))
    beyond = [milestone for milestone in schedule.milestones if milestone > schedule.steps]
    if beyond:
        emit(Note(f"warning: {len(beyond)} of {len(schedule.milestones)} milestones lie beyond {steps}"))
