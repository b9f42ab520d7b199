"""The angles between embeddings of one person and of two: what a margin is to part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosface_cli.maths.geometry import Template
from cosface_cli.maths.roc import rate_at, threshold_at_far
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
_CROPS = 1024  # that pairs are made of
_EACH = 4  # crops of a person, more where people are few
_PAIRS = 500  # of a list, of one person and of two each

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Angles:
    """genuine, impostors: (P,) degrees, 0..180, between pairs of one person and of two."""

    genuine: Floats
    impostors: Floats

    @property
    def tar(self) -> float | None:
        """True accept rate at a false accept rate of FAR; None where the pairs do not resolve it."""
        threshold = threshold_at_far(-self.impostors, FAR)
        if threshold is None or not self.genuine.size:
            return None
        accepted, of = rate_at(-self.genuine, threshold)
        return accepted / of


def middle(angles: Floats) -> str:
    """The median in words."""
    return f"{np.median(angles):.0f} degrees" if angles.size else "none"


def measure(
    learner: Learner, data: LabelledCrops, held: HeldOut | None, pairs: PairCrops | None, size: int
) -> dict[str, Angles]:
    """The angles by the network that the learner shows, by kind: of some crops trained on, of people held out, of a
    list of pairs; without the kinds that have no pair. size: of the embeddings."""
    found = {"crops trained on": _of_crops(learner, data.crops, data.labels, data.template, data.seed, data.loader)}
    if held:
        found["people held out"] = _of_crops(learner, held.crops, held.labels, held.template, data.seed, data.loader)
    if pairs:
        some = _some_pairs(pairs)
        found["validation pairs"] = of_cosines(pair_scores(learner, size, some), some.same)
    return {kind: angles for kind, angles in found.items() if angles.genuine.size or angles.impostors.size}


def of_cosines(cosines: Floats, same: NDArray[np.bool_]) -> Angles:
    """Of pairs (P,), of one person or not; a pair that is no number has no angle."""
    angles = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    found = np.isfinite(angles)
    return Angles(angles[found & same], angles[found & ~same])


def some_crops(labels: Ints, seed: int) -> Ints:
    """Places (K,) of about a thousand crops: as many of each of some people, drawn from the seed."""
    draw = np.random.default_rng(seed)
    people = draw.permutation(np.flatnonzero(np.bincount(labels) >= 2))[: _CROPS // _EACH]
    each = max(_EACH, _CROPS // max(1, len(people)))
    chosen = [draw.permutation(np.flatnonzero(labels == person))[:each] for person in np.sort(people)]
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)


def _of_crops(
    learner: Learner, crops: Sequence[LabelledCrop], labels: Ints, shape: Template, seed: int, loader: Loader
) -> Angles:
    """Of all pairs of some of the crops."""
    some = some_crops(labels, seed)
    if not len(some):
        return Angles(np.zeros(0), np.zeros(0))
    vectors = np.concatenate(list(embedded(learner, crops, shape, some, loader))).astype(np.float64)  # (K, D)
    left, right = np.triu_indices(len(some), 1)
    return of_cosines((vectors @ vectors.T)[left, right], labels[some][left] == labels[some][right])


def _some_pairs(pairs: PairCrops) -> PairCrops:
    """Up to 500 pairs of one person and as many of two, evenly over the list, with the crops that they need."""
    whole = (pairs.left >= 0) & (pairs.right >= 0)
    kinds = (np.flatnonzero(whole & pairs.same), np.flatnonzero(whole & ~pairs.same))
    some = np.concatenate([kind[np.linspace(0, len(kind) - 1, min(_PAIRS, len(kind))).astype(int)] for kind in kinds])
    left, right = pairs.left[some], pairs.right[some]
    used = np.unique(np.concatenate([left, right]))
    return replace(
        pairs,
        crops=pairs.crops[used],
        left=np.searchsorted(used, left),
        right=np.searchsorted(used, right),
        same=pairs.same[some],
        fold=pairs.fold[some],
    )
