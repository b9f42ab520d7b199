"""What can be known before the first step: what the data holds and leaves out, the bounds of s and m, where the loss
begins, and what the run will cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES
from cosface_cli.losses.angles import psi
from cosface_cli.maths.bounds import loss_at_random, loss_at_right_angles, margin_upper_bound, scale_lower_bound
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.train.crops.dataset import Dropped, LabelledCrops
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.preflight.footprint import Footprint
from cosface_cli.train.scoring.hold_out import HeldOut
from cosface_cli.train.setup.settings import Settings
from cosface_cli.train.step.schedule import Schedule

PROBABILITIES = (0.9, 0.99, 0.999)  # of a class centre's own identity

# what a loss takes from the cosine of the right identity where that is 0
_MARGINS: Mapping[str, Callable[[Mapping[str, float]], float]] = {
    "cosface": lambda head: head["m"],
    "elasticface": lambda head: head["m"],
    "nsl": lambda head: 0.0,
    "arcface": lambda head: math.sin(head["m"]),
    "combined": lambda head: head["m3"] - float(psi(torch.tensor(head["m1"] * math.pi / 2 + head["m2"]))),
}


@dataclass(frozen=True, slots=True)
class Preflight:
    """In numbers. images_per_identity: least, median, most; s_bounds: by probability (Wang 2018 Eq. 6); m_bound:
    Eq. 7; first_loss: expected of random weights, None for losses without such a figure."""

    identities: int
    images: int
    images_per_identity: tuple[int, float, int]
    held_out: int
    dropped: int
    s_bounds: dict[float, float]
    m_bound: float
    first_loss: float | None
    steps: int

    @property
    def row(self) -> dict[str, Any]:
        """For --dry-run."""
        low, median, high = self.images_per_identity
        return {
            "identities": self.identities,
            "images": self.images,
            "images_min": low,
            "images_median": median,
            "images_max": high,
            "identities_held_out": self.held_out,
            "images_dropped": self.dropped,
            **{f"s_bound_{probability:g}": bound for probability, bound in self.s_bounds.items()},
            "m_bound": self.m_bound,
            "first_loss": self.first_loss,
            "steps": self.steps,
        }


def check_margin(settings: Settings, identities: int) -> None:
    """Refuse a cosine margin that the class weights have no room for. Raises CosfaceError with the bound."""
    name: str | None = LOSSES.load(settings.loss).MARGIN_COS
    m = settings.head[name] if name else 0.0
    bound = margin_upper_bound(identities, settings.embedding_size)
    if m > bound or (m == bound and _is_far_above(identities, settings.embedding_size)):
        raise CosfaceError(
            f"the margin {m:g} is above {bound:.3g}, the most that {identities} identities in "
            f"{settings.embedding_size} dimensions leave room for (Wang 2018 Eq. 7)",
            hint="lower --m; the paper's is 0.35",
        )


def check_parts(settings: Settings, data: LabelledCrops, ranks: Ranks) -> None:
    """Refuse to share what is too little for so many. Raises CosfaceError."""
    if ranks.count == 1:
        return
    crops = data.batch_size // settings.accumulate // ranks.count
    if crops < (1 if settings.sync_bn else 2):
        least = "" if settings.sync_bn else ", and batch norm nothing to compare"
        raise CosfaceError(
            f"{ranks.count} processes get {crops} crops each of a step's {data.batch_size}"
            + (f" in {settings.accumulate} slices" if settings.accumulate > 1 else "")
            + least,
            hint="raise --batch, or take fewer processes",
        )
    if ranks.count > len(data.identities):
        raise CosfaceError(
            f"{ranks.count} processes share the weights of {len(data.identities)} identities",
            hint=f"take {len(data.identities)} at most",
        )


def examine(
    data: LabelledCrops,
    dropped: Dropped,
    held: HeldOut | None,
    settings: Settings,
    schedule: Schedule,
    source: str,
    emit: OnOutcome,
) -> Preflight:
    """Say what is trained on, what was left out and why, of whom there are too few pictures, the bounds, and rates
    that the run is too short for."""
    counts = np.bincount(data.labels, minlength=len(data.identities))
    low, median, high = int(counts.min()), float(np.median(counts)), int(counts.max())
    each = f"{low}" if low == high else f"{low} to {high}, median {median:g}"
    emit(Note(f"{source}: {len(data.crops)} crops of {len(data.identities)} identities, {each} each"))
    if held:
        emit(Note(f"held out: {held.people} identities, scored by all pairs of {len(held.crops)} of their crops"))
    _say_dropped(data, dropped, settings, emit)
    _say_few(data, counts, settings, emit)
    identities = len(data.identities)
    classes = _classes_of_a_step(data, settings)
    found = Preflight(
        identities=identities,
        images=len(data.crops),
        images_per_identity=(low, median, high),
        held_out=held.people if held else 0,
        dropped=dropped.loose + dropped.images,
        s_bounds={probability: scale_lower_bound(identities, probability) for probability in PROBABILITIES},
        m_bound=margin_upper_bound(identities, settings.embedding_size),
        first_loss=_first_loss(settings, classes),
        steps=schedule.steps,
    )
    _say_bounds(found, settings, classes, emit)
    _say_too_short(schedule, emit)
    return found


def say_costs(
    cost: Footprint, settings: Settings, batch: int, processes: int, steps_left: int, emit: OnOutcome
) -> dict[str, Any]:
    """Say memory and time of a run on this device, and warn of a batch that does not fit. Gives them as a row.

    batch: crops that each of the processes takes of a step.
    """
    slice_size = -(-batch // settings.accumulate)
    activations = slice_size * cost.per_crop
    seconds = steps_left * batch * cost.seconds_per_crop
    parts = {"network": cost.network, "head": cost.head, "optimizer": cost.optimizer, "average": cost.average}
    words = ", ".join(f"{name} {_size(count)}" for name, count in parts.items() if count)
    fits = cost.largest_batch
    room = "" if fits is None else f"; {_size(cost.available or 0)} are free: about {fits:,} crops fit at once"
    each = f" in each of {processes} processes" if processes > 1 else ""
    rate = processes / cost.seconds_per_crop
    emit(Note(f"memory{each}: activations of {slice_size} crops {_size(activations)}, {words}{room}"))
    emit(Note(f"time: about {_duration(seconds)} for {steps_left:,} steps ({rate:.3g} crops/s)"))
    if fits is not None and slice_size > fits:
        emit(
            Note(
                f"warning: {slice_size} crops at once do not fit: lower --batch, or --accumulate {_slices(batch, fits)}"
            )
        )
    return {
        "bytes_activations": activations,
        **{f"bytes_{name}": count for name, count in parts.items()},
        "bytes_free": cost.available,
        "largest_batch": fits,
        "images_per_second": rate,
        "seconds": seconds,
    }


def _say_dropped(data: LabelledCrops, dropped: Dropped, settings: Settings, emit: OnOutcome) -> None:
    if dropped.loose:
        emit(Note(f"left out {dropped.loose} crops that lie outside of identity folders"))
    if dropped.identities:
        emit(
            Note(
                f"left out {dropped.identities} identities with fewer than {settings.min_images} crops "
                f"(--min-images), {dropped.images} crops in all"
            )
        )
    ragged = len(data.crops) - data.steps * data.batch_size
    if ragged and settings.sampling.name != "balanced":  # which repeats crops too
        emit(Note(f"each epoch leaves out {ragged} crops that do not fill a batch, others each time"))


def _say_few(data: LabelledCrops, counts: Any, settings: Settings, emit: OnOutcome) -> None:
    if LOSSES.load(settings.loss).PAIRS and settings.sampling.name != "balanced":
        emit(Note(f"{settings.loss} compares crops within a batch: --sampler balanced has several of each person"))
    single = int((counts < 2).sum())
    if single:
        emit(
            Note(
                f"warning: {single} identities have one crop only, and a margin needs two to pull together: "
                "--min-images 2 leaves them out"
            )
        )
    if data.batch_size < settings.batch:
        emit(Note(f"fewer crops than --batch {settings.batch}: each step takes all {data.batch_size}"))
    if data.batch_size // settings.accumulate < 2:
        raise CosfaceError(
            f"--accumulate {settings.accumulate} cuts a step's {data.batch_size} crops into slices of one",
            hint=f"give at most {data.batch_size // 2}",
        )


def _classes_of_a_step(data: LabelledCrops, settings: Settings) -> int:
    """Of the first one: all, or the share that is drawn, which those of its crops are always among."""
    if settings.sample_rate == 1:
        return len(data.identities)
    present = np.unique(data.labels[data.order(1)[: data.batch_size]]).size
    return max(2, present, round(settings.sample_rate * len(data.identities)))


def _first_loss(settings: Settings, identities: int) -> float | None:
    if settings.start:
        return None
    if settings.loss == "softmax":
        return math.log(identities)
    if settings.loss not in _MARGINS:
        return None
    margin = _MARGINS[settings.loss](settings.head)
    return loss_at_random(identities, settings.embedding_size, settings.head["s"], margin)


def _say_bounds(found: Preflight, settings: Settings, classes: int, emit: OnOutcome) -> None:
    """classes: of a step."""
    s = settings.head.get("s")
    if s is not None:
        bounds = ", ".join(f"{bound:.4g} for {probability:g}" for probability, bound in found.s_bounds.items())
        emit(Note(f"s {s:g}; the least by Wang 2018 Eq. 6 is {bounds}"))
    name: str | None = LOSSES.load(settings.loss).MARGIN_COS
    if name:
        below = "far below " if _is_far_above(found.identities, settings.embedding_size) else ""
        emit(Note(f"{name} {settings.head[name]:g}; the most by Eq. 7 is {below}{found.m_bound:.3g}"))
    if s is None:
        if found.first_loss is not None:
            emit(Note(f"expected first loss: {found.first_loss:.1f}"))
        return
    if found.first_loss is not None:
        flat = loss_at_right_angles(classes, s, _MARGINS[settings.loss](settings.head))
        emit(Note(f"expected first loss: {flat:.1f} at cosines of 0, {found.first_loss:.1f} with random class weights"))
    short = [probability for probability, bound in found.s_bounds.items() if s < bound]
    if short:
        least = short[0]
        emit(
            Note(
                f"warning: s {s:g} is below {found.s_bounds[least]:.4g}, which {found.identities} identities need for "
                f"a probability of {least:g} (Wang 2018 Eq. 6): the loss cannot fall far"
            )
        )


def _is_far_above(identities: int, embedding_size: int) -> bool:
    """Whether the bound of Eq. 7 is itself out of reach; on a circle it is exact for any number of identities."""
    return embedding_size > 2 and identities > embedding_size + 1


def _say_too_short(schedule: Schedule, emit: OnOutcome) -> None:
    steps = f"the run's {schedule.steps:,} steps"
    if schedule.warmup > schedule.steps:
        rise = f"the rise of {schedule.warmup:,} (--warmup)"
        emit(Note(f"warning: {rise} is longer than {steps}: the rate never gets to {schedule.lr:g}"))
    beyond = [milestone for milestone in schedule.milestones if milestone > schedule.steps]
    if beyond:
        emit(Note(f"warning: {len(beyond)} of {len(schedule.milestones)} milestones lie beyond {steps}"))


def _slices(batch: int, fits: int) -> int:
    return -(-batch // max(2, fits))


def _size(count: int) -> str:
    size, unit = (2**30, "GB") if count >= 2**30 else (2**20, "MB") if count >= 2**20 else (2**10, "kB")
    return f"{count / size:.1f} {unit}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
