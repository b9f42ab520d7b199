"""The angles between embeddings of one person, and of two people. A margin separates them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosface_cli.maths.geometry import Template
from cosface_cli.maths.roc import count_accepted, threshold_at_far
from cosface_cli.train.crops.dataset import LabelledCrops
from cosface_cli.train.crops.loader import Loader
from cosface_cli.train.crops.records import LabelledCrop
from cosface_cli.train.scoring.crop_vectors import embedded
from cosface_cli.train.scoring.hold_out import HeldOut
from cosface_cli.train.scoring.validation import pair_scores
from cosface_cli.train.step.learner import Learner

if TYPE_CHECKING:
    from cosface_cli.engines.photos.pair_photos import PairCrops

FAR = 0.01
_CROPS = 1024  # crops whose pairs are used
_EACH = 4  # crops of a person; more if there are few people
_PAIRS = 500  # genuine pairs, and as many impostor pairs, that are taken from a list

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Angles:
    """Angles in degrees, 0..180."""

    genuine: Floats
    """(P,): pairs of one person."""
    impostors: Floats
    """(P,): pairs of two people."""

    @property
    def tar(self) -> float | None:
        """True accept rate at a false accept rate of FAR; None if the pairs do not resolve it."""
        threshold = threshold_at_far(-self.impostors, FAR)
        if threshold is None or not self.genuine.size:
            return None
        accepted, of = count_accepted(-self.genuine, threshold)
        return accepted / of


def median_text(angles: Floats) -> str:
    """The median with its unit."""
    return f"{np.median(angles):.0f} degrees" if angles.size else "none"


def measure(
    learner: Learner, data: LabelledCrops, held_out: HeldOut | None, pairs: PairCrops | None, size: int
) -> dict[str, Angles]:
    """The angles by the learner's eval_network, by kind of crops: those trained on, those of held-out people, and those
    of a list of pairs. Kinds without a pair are left out. size: of the embeddings."""
    angles = {"crops trained on": _of_crops(learner, data.crops, data.labels, data.template, data.seed, data.loader)}
    if held_out:
        angles["people held out"] = _of_crops(
            learner, held_out.crops, held_out.labels, held_out.template, data.seed, data.loader
        )
    if pairs:
        sample = _sample_pairs(pairs)
        angles["validation pairs"] = of_cosines(pair_scores(learner, size, sample), sample.same)
    return {kind: measured for kind, measured in angles.items() if measured.genuine.size or measured.impostors.size}


def of_cosines(cosines: Floats, same: NDArray[np.bool_]) -> Angles:
    """The angles of pairs (P,); a pair whose cosine is not finite has no angle."""
    angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    is_known = np.isfinite(angles)
    return Angles(angles[is_known & same], angles[is_known & ~same])


def sample_crops(labels: Ints, seed: int) -> Ints:
    """Indices (K,) of about a thousand crops: the same number of each of some people, drawn from the seed."""
    draw = np.random.default_rng(seed)
    people = draw.permutation(np.flatnonzero(np.bincount(labels) >= 2))[: _CROPS // _EACH]
    each = max(_EACH, _CROPS // max(1, len(people)))
    chosen = [draw.permutation(np.flatnonzero(labels == person))[:each] for person in np.sort(people)]
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


def _of_crops(
    learner: Learner, crops: Sequence[LabelledCrop], labels: Ints, shape: Template, seed: int, loader: Loader
) -> Angles:
    """The angles of all pairs of a sample of the crops."""
    sample = sample_crops(labels, seed)
    if not len(sample):
        return Angles(np.zeros(0), np.zeros(0))
    vectors = np.concatenate(list(embedded(learner, crops, shape, sample, loader))).astype(np.float64)  # (K, D)
    left, right = np.triu_indices(len(sample), 1)
    return of_cosines((vectors @ vectors.T)[left, right], labels[sample][left] == labels[sample][right])


def _sample_pairs(pairs: PairCrops) -> PairCrops:
    """Up to 500 genuine and 500 impostor pairs, evenly spaced over the list, with their crops."""
    is_complete = (pairs.left >= 0) & (pairs.right >= 0)
    kinds = (np.flatnonzero(is_complete & pairs.same), np.flatnonzero(is_complete & ~pairs.same))
    sample = np.concatenate([kind[np.linspace(0, len(kind) - 1, min(_PAIRS, len(kind))).astype(int)] for kind in kinds])
    left, right = pairs.left[sample], pairs.right[sample]
    used = np.unique(np.concatenate([left, right]))
    return replace(
        pairs,
        crops=pairs.crops[used],
        left=np.searchsorted(used, left),
        right=np.searchsorted(used, right),
        same=pairs.same[sample],
        fold=pairs.fold[sample],
    )
