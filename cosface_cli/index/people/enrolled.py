"""The people whom an index knows by name, ready to be compared with probes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.people_file import People, face_key
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people.faces import BLOCK, Faces
from cosface_cli.maths.pooling import pooled

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Scores = tuple[NDArray[np.float64], Ints]
Search = tuple[Floats, NDArray[np.float64]]  # photos (M, D) of one person, and the quality of each

POOLS = ("mean", "max", "quality")
# The detector's score to that power. On CelebA identification is then a little better than with equal weights; weights
# by sharpness or by the size of the face make it worse.
QUALITY_POWER = 4
_SPARE = 16  # the last bits of a product depend on the batch: so many more are scored again in double precision
_DEEPER = 4  # times as many faces are looked at while there are too few people among them


def quality_of(score: float) -> float:
    """The weight of a photo by its detector's score, 0..1."""
    return float(max(score, 0.0) ** QUALITY_POWER)


class Enrolled:
    """Persons with the faces they are known by. names: of each, sorted; of (N,): whose each face of the index is, a
    place in names, -1 for nobody's."""

    def __init__(self, faces: Faces, people: People, pool: str) -> None:
        """A face is of the person that people named, else of the folder that it came from.

        Raises CosfaceError where nobody has a name.
        """
        self.faces, self.pool = faces, pool
        of_face = people.of_faces()
        called: list[str | None] = []
        quality = []
        for row in faces.rows():
            person = of_face.get(face_key(row))
            named = person is not None and person.name is not None
            called.append(person.name if named and person is not None else row.identity)
            quality.append(quality_of(row.score))
        self.names = sorted({name for name in called if name is not None})
        if not self.names:
            raise CosfaceError("nobody here has a name", faces.root, f"cosface index label {faces.root} CLUSTER NAME")
        places = {name: place for place, name in enumerate(self.names)}
        self.of = np.array([-1 if name is None else places[name] for name in called], np.int64)
        self.quality = np.array(quality)
        order = np.argsort(self.of, kind="stable")
        bounds = np.searchsorted(self.of[order], np.arange(len(self.names) + 1))
        self.rows_of = [order[low:high] for low, high in pairwise(bounds.tolist())]
        self._templates = None if pool == "max" else self._enrol()

    def candidates(self, searches: Sequence[Search], k: int) -> Scores:
        """The k best persons for each search: cosines and places in names (S, K = min(k, persons)), best first; equal
        ones in the order of their names."""
        k = min(k, len(self.names))
        if not searches:
            return np.zeros((0, k)), np.zeros((0, k), np.int64)
        if self._templates is not None:
            return self._by_template(np.stack([self._pooled(*search) for search in searches]), k)
        scores, persons = self._by_face(np.concatenate([photos for photos, _ in searches]), k)
        ends = np.cumsum([len(photos) for photos, _ in searches]).tolist()
        best = [_best_of(scores[low:high], persons[low:high]) for low, high in pairwise([0, *ends])]
        return np.stack([own for own, _ in best]), np.stack([own for _, own in best])

    def _pooled(self, photos: Floats, quality: NDArray[np.float64]) -> Floats:
        if len(photos) == 1:
            return np.asarray(photos[0], np.float32)
        try:
            return pooled(photos, quality if self.pool == "quality" and quality.any() else None)
        except ValueError as error:
            raise CosfaceError(f"photos of a person have no mean: {error}", self.faces.root, "use --pool max") from None

    def _enrol(self) -> Floats:
        out = np.empty((len(self.names), self.faces.header.size), np.float32)
        for place, rows in enumerate(self.rows_of):
            out[place] = self._pooled(self.faces.take(rows), self.quality[rows])
        return out

    def _by_template(self, probes: Floats, k: int) -> Scores:
        assert self._templates is not None
        scores, persons = np.empty((len(probes), k)), np.empty((len(probes), k), np.int64)
        wide = min(k + _SPARE, len(self.names))
        for low in range(0, len(probes), BLOCK):
            block = probes[low : low + BLOCK]
            near = np.sort(np.argpartition(block @ self._templates.T, -wide, axis=1)[:, -wide:], axis=1)
            exact = np.einsum("bkd,bd->bk", self._templates[near].astype(np.float64), block.astype(np.float64))
            order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
            scores[low : low + BLOCK] = np.clip(np.take_along_axis(exact, order, 1), -1.0, 1.0)
            persons[low : low + BLOCK] = np.take_along_axis(near, order, 1)
        return scores, persons

    def _by_face(self, probes: Floats, k: int) -> Scores:
        scores, persons = np.empty((len(probes), k)), np.empty((len(probes), k), np.int64)
        todo, depth = np.arange(len(probes)), min(_DEEPER * k, len(self.faces))
        while len(todo):
            cosines, numbers = self.faces.nearest(probes[todo], depth)
            again = []
            for at, own_cosines, own_numbers in zip(todo, cosines.tolist(), numbers.tolist(), strict=True):
                best: dict[int, float] = {}
                for cosine, number in zip(own_cosines, own_numbers, strict=True):
                    person = int(self.of[number]) if number >= 0 else -1
                    if person >= 0:
                        best.setdefault(person, cosine)
                if len(best) < k and depth < len(self.faces):
                    again.append(at)
                    continue
                ordered = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
                scores[at], persons[at] = [cos for _, cos in ordered], [person for person, _ in ordered]
            todo, depth = np.array(again, np.int64), min(_DEEPER * depth, len(self.faces))
        return scores, persons


def _best_of(scores: NDArray[np.float64], persons: Ints) -> Scores:
    """The best of a person's photos (M, K) for each candidate, as many as one photo has."""
    best: dict[int, float] = {}
    for score, person in zip(scores.ravel().tolist(), persons.ravel().tolist(), strict=True):
        best[person] = max(score, best.get(person, -np.inf))
    ordered = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[: scores.shape[1]]
    return np.array([score for _, score in ordered]), np.array([person for person, _ in ordered], np.int64)
