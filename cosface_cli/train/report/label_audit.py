"""The audit of labels: crops that are nearer to the centre of another identity than to that of their label.

The centre of an identity is the mean of its unit vectors, at unit length; for a crop's label it is computed without the
crop. Mislabelled crops move the centre of their label, so suspects are left out of the centres, and all crops are
judged again. A network that was trained for long memorises wrong labels, which are then not detected.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cosface_cli.artifacts.files.atomic import write_errors
from cosface_cli.train.crops.dataset import LabelledCrops
from cosface_cli.train.scoring.crop_vectors import embedded
from cosface_cli.train.step.learner import Learner

ROUNDS = 2
_DOUBTFUL = 0.2  # share of suspects above which the network is the likely cause, not the labels
_CELLS = 1 << 23  # cosines, or values of vectors, that are computed at a time

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Parts = Callable[[], Iterable[NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Suspect:
    """A crop whose label looks wrong."""

    crop: int
    """Its index."""
    label: int
    """The identity of its label."""
    nearest: int
    """The identity whose centre is nearest."""
    label_cosine: float
    """Cosine to the centre of its label."""
    nearest_cosine: float
    """Cosine to the nearest centre."""

    def row(self, data: LabelledCrops) -> dict[str, object]:
        """The line of noise.jsonl."""
        return {
            "crop": data.crops[self.crop].name,
            "identity": data.identities[self.label],
            "nearest": data.identities[self.nearest],
            "cosine_own": round(self.label_cosine, 4),
            "cosine_nearest": round(self.nearest_cosine, 4),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Audit:
    """The result of an audit."""

    suspects: tuple[Suspect, ...]
    """The clearest suspects first."""
    judged: int
    """Number of judged crops: all except those without a vector, and those that are the only crop of their identity."""
    typical: Ints
    """(C,): the crop of each identity nearest to its centre, preferably not a suspect; -1 if none was judged."""

    @property
    def is_doubtful(self) -> bool:
        """Whether there are so many suspects that the network, not the labels, is the likely cause."""
        return len(self.suspects) > _DOUBTFUL * self.judged


def audit(learner: Learner, data: LabelledCrops, folder: Path) -> Audit:
    """Judge every crop by the learner's eval_network. folder: for an unnamed temporary file with the vectors, so that
    memory holds only the centres and a part of the vectors."""
    size = 0
    with write_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        for vectors in embedded(learner, data.crops, data.template, np.arange(len(data.crops)), data.loader):
            size = vectors.shape[1]
            file.write(vectors.tobytes())
        rows = max(1, _CELLS // max(size, len(data.identities)))

        def parts() -> Iterator[NDArray[np.float32]]:
            file.seek(0)
            while content := file.read(rows * size * 4):
                yield np.frombuffer(content, np.float32).reshape(-1, size)

        return judge(parts, data.labels, len(data.identities), learner.device)


def judge(parts: Parts, labels: Ints, identities: int, device: torch.device) -> Audit:
    """Judge crops by their unit vectors (N, D) and labels (N,). Each call of parts yields the vectors, in order."""
    count = len(labels)
    left_out = np.zeros(count, bool)  # of the centres
    label_cosines, nearest_cosines, nearest = np.zeros(count), np.zeros(count), np.zeros(count, np.int64)
    for _ in range(ROUNDS):
        sums = _sums(parts, labels, identities, left_out)  # (C, D)
        centres = torch.from_numpy(_unit(sums).astype(np.float32)).to(device)
        has_no_centre = torch.from_numpy(~sums.any(axis=1)).to(device)
        begin = 0
        for vectors in parts():
            part = slice(begin, begin := begin + len(vectors))
            part_labels = labels[part]
            others = sums[part_labels] - np.where(left_out[part, None], 0.0, vectors)
            is_known = others.any(axis=1) & vectors.any(axis=1)
            label_cosines[part] = np.where(is_known, (_unit(others) * vectors).sum(axis=1), np.nan)
            cosines = torch.tensor(vectors).to(device) @ centres.T  # (b, C)
            cosines[:, has_no_centre] = -torch.inf
            cosines[torch.arange(len(part_labels)), torch.from_numpy(part_labels)] = -torch.inf
            best, who = cosines.max(dim=1)
            nearest_cosines[part], nearest[part] = best.cpu().numpy(), who.cpu().numpy()
        is_judged = np.isfinite(label_cosines) & np.isfinite(nearest_cosines)
        is_suspect = is_judged & (nearest_cosines > label_cosines)
        clean = np.bincount(labels[~is_suspect], minlength=identities)
        left_out = is_suspect & (clean[labels] > 0)  # if all crops of an identity are suspects, all of them count
    order = np.lexsort((np.arange(count), label_cosines - nearest_cosines))
    suspects = tuple(
        Suspect(
            crop=int(i),
            label=int(labels[i]),
            nearest=int(nearest[i]),
            label_cosine=float(label_cosines[i]),
            nearest_cosine=float(nearest_cosines[i]),
        )
        for i in order
        if is_suspect[i]
    )
    preference = np.where(is_suspect, label_cosines - 4, label_cosines)
    return Audit(suspects, int(is_judged.sum()), _highest_of_each(preference, labels, identities))


def _sums(parts: Parts, labels: Ints, identities: int, left_out: NDArray[np.bool_]) -> Floats:
    """The sums (C, D) of each identity's vectors except those left out."""
    sums: Floats | None = None
    begin = 0
    for vectors in parts():
        part = slice(begin, begin := begin + len(vectors))
        sums = np.zeros((identities, vectors.shape[1])) if sums is None else sums
        is_used = ~left_out[part] & np.isfinite(vectors).all(axis=1)
        np.add.at(sums, labels[part][is_used], vectors[is_used])
    assert sums is not None
    return sums


def _highest_of_each(values: Floats, labels: Ints, identities: int) -> Ints:
    """The crop with the highest value, of each identity (C,); -1 where none is finite."""
    highest = np.full(identities, -1)
    ascending = np.argsort(np.nan_to_num(values, nan=-np.inf), kind="stable")
    ascending = ascending[np.isfinite(values[ascending])]
    highest[labels[ascending]] = ascending  # the last crop of an identity overwrites the others
    return highest


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    out: Floats = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return out
