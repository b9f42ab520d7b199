"""Held-out people: they are not trained on; the score on them shows whether training helps or harms on strangers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.photos.warp import recrop
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import Template
from cosface_cli.maths.roc import count_accepted, threshold_at_far
from cosface_cli.train.crops.dataset import LabelledCrops, read_crop
from cosface_cli.train.crops.records import LabelledCrop

_FARS = (1e-1, 1e-2, 1e-3, 1e-4)
_RESOLVED = 10  # impostor pairs above the threshold that are needed to measure a false accept rate
_MAX_PEOPLE, _MAX_CROPS = 200, 20  # held-out people, and crops of each: 8 million pairs
_BATCH = 64

Embed = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Crops of people who are not trained on."""

    crops: tuple[LabelledCrop, ...]
    labels: NDArray[np.int64]
    """(N,)."""
    template: Template
    """The network's template."""

    @property
    def people(self) -> int:
        return int(np.unique(self.labels).size)


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """The score over all pairs of crops of the held-out people."""

    tar: dict[float, float]
    """True accept rate, 0..1, by false accept rate."""

    @property
    def score(self) -> float:
        """The mean of the rates."""
        return float(np.mean(list(self.tar.values())))

    @property
    def row(self) -> dict[str, object]:
        """As in metrics.jsonl."""
        rates = {f"hold_out_tar_at_{far:g}": tar for far, tar in self.tar.items()}
        return {**rates, "hold_out_score": self.score}


def split(data: LabelledCrops, share: float) -> tuple[LabelledCrops, HeldOut]:
    """Split a share of the identities off the data: those whose names have the lowest hashes, independent of the seed,
    so that runs can be compared. Raises CosfaceError if too few identities remain, or if there are too few pairs."""
    count = min(_MAX_PEOPLE, max(2, round(share * len(data.identities))))
    if len(data.identities) - count < 2:
        raise CosfaceError(
            f"{len(data.identities)} identities are too few to hold {count} of them out", hint="--hold-out 0"
        )
    by_hash = sorted(range(len(data.identities)), key=lambda index: _hash(data.identities[index]))
    is_out = np.zeros(len(data.identities), bool)
    is_out[by_hash[:count]] = True
    remaining = data.of_identities(~is_out)
    chosen = np.concatenate([np.flatnonzero(data.labels == person)[:_MAX_CROPS] for person in np.flatnonzero(is_out)])
    held_out = HeldOut(tuple(data.crops[int(i)] for i in chosen), data.labels[chosen], data.template)
    genuine, impostors = _pair_counts(held_out.labels)
    if genuine < 1 or impostors < _RESOLVED:
        raise CosfaceError(
            f"the {count} people held out make {genuine} pairs of one person and {impostors} of two: too few to score",
            hint="hold out more (--hold-out), or none (--hold-out 0)",
        )
    return remaining, held_out


def score(embed: Embed, held_out: HeldOut) -> HeldOutScore:
    """TAR over all pairs of crops of the held-out people, at each false accept rate that the pairs resolve."""
    vectors = np.concatenate(
        [embed(_read(held_out, slice(begin, begin + _BATCH))) for begin in range(0, len(held_out.crops), _BATCH)]
    ).astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # (N, D)
    upper = np.triu_indices(len(vectors), 1)
    cosines = np.nan_to_num((vectors @ vectors.T)[upper], nan=-1.0)  # (P,): a crop without a vector matches none
    same = (held_out.labels[:, None] == held_out.labels)[upper]  # (P,)
    impostors = cosines[~same]
    resolved = [far for far in _FARS[1:] if far * impostors.size >= _RESOLVED] or [_FARS[0]]
    tar = {}
    for far in resolved:
        threshold = threshold_at_far(impostors, far)
        assert threshold is not None  # split requires enough impostors
        accepted, of = count_accepted(cosines[same], threshold)
        tar[far] = accepted / of
    return HeldOutScore(tar)


def _read(held_out: HeldOut, part: slice) -> NDArray[np.uint8]:
    return np.stack([recrop(read_crop(c), c.template, held_out.template, c.landmarks) for c in held_out.crops[part]])


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()


def _pair_counts(labels: NDArray[np.int64]) -> tuple[int, int]:
    _, counts = np.unique(labels, return_counts=True)
    genuine = int((counts * (counts - 1) // 2).sum())
    return genuine, len(labels) * (len(labels) - 1) // 2 - genuine
