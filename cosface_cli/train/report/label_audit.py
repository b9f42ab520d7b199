"""The audit of labels: crops that are nearer to another identity's centre than to their own.

The centre of an identity is the mean of its unit vectors, at unit length; a crop's own one is taken without the crop.
Wrong crops pull the centre of where they are filed, so what is found is taken out of the centres and all are judged
again. A network that is trained for long learns wrong labels too: what it has learned by heart is not found.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cosface_cli.artifacts.files.atomic import write_errors
from cosface_cli.train.crops.dataset import LabelledCrops
from cosface_cli.train.scoring.crop_vectors import embedded
from cosface_cli.train.step.learner import Learner

ROUNDS = 2
_DOUBTFUL = 0.2
_CELLS = 1 << 23  # cosines at once, and numbers of vectors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Parts = Callable[[], Iterable[NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Suspect:
    """crop, label, nearest: places of the crop, its identity and the one that it is nearest to; own, other: cosines to
    the centres of the two."""

    crop: int
    label: int
    nearest: int
    own: float
    other: float

    def row(self, data: LabelledCrops) -> dict[str, Any]:
        """As in noise.jsonl."""
        return {
            "crop": data.crops[self.crop].name,
            "identity": data.identities[self.label],
            "nearest": data.identities[self.nearest],
            "cosine_own": round(self.own, 4),
            "cosine_nearest": round(self.other, 4),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """suspects: the surest first; judged: crops, all but those that are alone or have no vector; typical: (C,) of each
    identity the crop nearest to its centre, no suspect if there is another, -1 where none was judged."""

    suspects: tuple[Suspect, ...]
    judged: int
    typical: Ints

    @property
    def is_doubtful(self) -> bool:
        """Whether so many are suspects that it rather is the network which tells people apart badly."""
        return len(self.suspects) > _DOUBTFUL * self.judged


def audit(learner: Learner, data: LabelledCrops, folder: Path) -> Audit:
    """Judge every crop by the network that the learner shows. folder: where the vectors lie meanwhile, in a file
    without a name, so that memory holds the centres and a part of them."""
    size = 0
    with write_errors(folder), tempfile.TemporaryFile(dir=folder) as held:
        for vectors in embedded(learner, data.crops, data.template, np.arange(len(data.crops)), data.loader):
            size = vectors.shape[1]
            held.write(vectors.tobytes())
        rows = max(1, _CELLS // max(size, len(data.identities)))

        def parts() -> Iterator[NDArray[np.float32]]:
            held.seek(0)
            while content := held.read(rows * size * 4):
                yield np.frombuffer(content, np.float32).reshape(-1, size)

        return judge(parts, data.labels, len(data.identities), learner.device)


def judge(parts: Parts, labels: Ints, identities: int, device: torch.device) -> Audit:
    """Judge by unit vectors (N, D), which parts gives in their order and as often as it is called; labels: (N,)."""
    count = len(labels)
    out = np.zeros(count, bool)  # of the centres
    own, other, nearest = np.zeros(count), np.zeros(count), np.zeros(count, np.int64)
    for _ in range(ROUNDS):
        sums = _sums(parts, labels, identities, out)  # (C, D)
        centres = torch.from_numpy(_unit(sums).astype(np.float32)).to(device)
        void = torch.from_numpy(~sums.any(axis=1)).to(device)
        begin = 0
        for vectors in parts():
            here = slice(begin, begin := begin + len(vectors))
            theirs = labels[here]
            rest = sums[theirs] - np.where(out[here, None], 0.0, vectors)
            is_known = rest.any(axis=1) & vectors.any(axis=1)
            own[here] = np.where(is_known, (_unit(rest) * vectors).sum(axis=1), np.nan)
            cosines = torch.tensor(vectors).to(device) @ centres.T  # (b, C)
            cosines[:, void] = -torch.inf
            cosines[torch.arange(len(theirs)), torch.from_numpy(theirs)] = -torch.inf
            best, who = cosines.max(dim=1)
            other[here], nearest[here] = best.cpu().numpy(), who.cpu().numpy()
        judged = np.isfinite(own) & np.isfinite(other)
        suspect = judged & (other > own)
        clean = np.bincount(labels[~suspect], minlength=identities)
        out = suspect & (clean[labels] > 0)  # who has none that is right keeps all
    order = np.lexsort((np.arange(count), own - other))
    found = (
        Suspect(int(i), int(labels[i]), int(nearest[i]), float(own[i]), float(other[i])) for i in order if suspect[i]
    )
    return Audit(tuple(found), int(judged.sum()), _typical(np.where(suspect, own - 4, own), labels, identities))


def _sums(parts: Parts, labels: Ints, identities: int, out: NDArray[np.bool_]) -> Floats:
    """Of each identity's vectors but those left out, (C, D)."""
    sums: Floats | None = None
    begin = 0
    for vectors in parts():
        here = slice(begin, begin := begin + len(vectors))
        sums = np.zeros((identities, vectors.shape[1])) if sums is None else sums
        kept = ~out[here] & np.isfinite(vectors).all(axis=1)
        np.add.at(sums, labels[here][kept], vectors[kept])
    assert sums is not None
    return sums


def _typical(own: Floats, labels: Ints, identities: int) -> Ints:
    """The crop with the highest cosine to its own centre, of each identity (C,); -1 for none."""
    found = np.full(identities, -1)
    rising = np.argsort(np.nan_to_num(own, nan=-np.inf), kind="stable")
    rising = rising[np.isfinite(own[rising])]
    found[labels[rising]] = rising  # of several the last one stays
    return found


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    out: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return out
