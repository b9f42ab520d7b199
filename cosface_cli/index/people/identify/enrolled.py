"""The named people of an index, ready to be compared with probes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.people_file import People, face_key
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import Pool
from cosface_cli.index.people.index_faces import BLOCK, IndexFaces
from cosface_cli.maths.pooling import pooled

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]
Candidates = tuple[NDArray[np.float64], Ints]  # cosines (S, K) and places in Enrolled.names (S, K), best first
Search = tuple[Vectors, NDArray[np.float64]]  # photos (M, D) of one person, and the weight (M,) of each

# A weight is the detection score to this power. On CelebA identification is a little better with it than with equal
# weights, and worse with weights by sharpness or by the size of the face.
QUALITY_POWER = 4
_SPARE = 16  # further templates scored in float64, since the last bits of a float32 product depend on the batch
_DEEPER = 4  # factor by which the search is widened while it finds too few people


def quality_of(score: float) -> float:
    """The weight of a photo by its detection score, 0..1."""
    return float(max(score, 0.0) ** QUALITY_POWER)


class Enrolled:
    """The P enrolled persons with their faces among the N of an index.

    names: (P), sorted. person_of: (N,), the place in names of each face's person, -1 without one. rows_of: (P), the
    faces of each person. quality: (N,), the weight of each face.
    """

    def __init__(self, faces: IndexFaces, people: People, pool: Pool) -> None:
        """The name of a face is its person's name, if the person has one, else the identity of the face.

        Raises CosfaceError if no face has a name.
        """
        self.faces, self.pool = faces, pool
        person_of_key = people.by_face()
        names: list[str | None] = []
        quality = []
        for row in faces.rows():
            person = person_of_key.get(face_key(row))
            names.append(person.name if person is not None and person.name is not None else row.identity)
            quality.append(quality_of(row.score))
        self.names = sorted({name for name in names if name is not None})
        if not self.names:
            hint = f"name groups: cosface index label {faces.root} CLUSTER NAME"
            raise CosfaceError("no face of the index has a name", faces.root, hint)
        places = {name: place for place, name in enumerate(self.names)}
        self.person_of = np.array([-1 if name is None else places[name] for name in names], np.int64)
        self.quality = np.array(quality)
        order = np.argsort(self.person_of, kind="stable")
        bounds = np.searchsorted(self.person_of[order], np.arange(len(self.names) + 1))
        self.rows_of = [order[low:high] for low, high in pairwise(bounds.tolist())]
        self._templates = None if pool == "max" else self._pool_persons()

    def candidates(self, searches: Sequence[Search], k: int) -> Candidates:
        """The K = min(k, persons) best persons for each of S searches; those of equal cosine by name."""
        k = min(k, len(self.names))
        if not searches:
            return np.zeros((0, k)), np.zeros((0, k), np.int64)
        if self._templates is not None:
            probes = np.stack([self._pool(*search) for search in searches])
            return _by_template(self._templates, probes, k)
        scores, persons = self._by_face(np.concatenate([photos for photos, _ in searches]), k)
        ends = np.cumsum([len(photos) for photos, _ in searches]).tolist()
        best = [_best_of(scores[low:high], persons[low:high]) for low, high in pairwise([0, *ends])]
        return np.stack([cosines for cosines, _ in best]), np.stack([places for _, places in best])

    def _pool(self, photos: Vectors, quality: NDArray[np.float64]) -> Vectors:
        """One vector (D,) of several photos (M, D) of a person."""
        if len(photos) == 1:
            return np.asarray(photos[0], np.float32)
        try:
            return pooled(photos, quality if self.pool == "quality" and quality.any() else None)
        except ValueError as error:
            raise CosfaceError(f"photos of a person have no mean: {error}", self.faces.root, "use --pool max") from None

    def _pool_persons(self) -> Vectors:
        templates = np.empty((len(self.names), self.faces.header.size), np.float32)
        for place, rows in enumerate(self.rows_of):
            templates[place] = self._pool(self.faces.take(rows), self.quality[rows])
        return templates

    def _by_face(self, probes: Vectors, k: int) -> Candidates:
        """The k persons with the nearest faces to each probe (M, D)."""
        scores, persons = np.empty((len(probes), k)), np.empty((len(probes), k), np.int64)
        pending, depth = np.arange(len(probes)), min(_DEEPER * k, len(self.faces))
        while len(pending):
            cosines, numbers = self.faces.nearest(probes[pending], depth)
            too_few = []
            for probe, face_cosines, faces in zip(pending, cosines.tolist(), numbers.tolist(), strict=True):
                best: dict[int, float] = {}
                for cosine, face in zip(face_cosines, faces, strict=True):
                    person = int(self.person_of[face]) if face >= 0 else -1
                    if person >= 0:
                        best.setdefault(person, cosine)
                if len(best) < k and depth < len(self.faces):
                    too_few.append(probe)
                    continue
                ordered = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[:k]
                scores[probe], persons[probe] = [cos for _, cos in ordered], [person for person, _ in ordered]
            pending, depth = np.array(too_few, np.int64), min(_DEEPER * depth, len(self.faces))
        return scores, persons


def _by_template(templates: Vectors, probes: Vectors, k: int) -> Candidates:
    """The k nearest of the templates (P, D) to each probe (M, D)."""
    scores, persons = np.empty((len(probes), k)), np.empty((len(probes), k), np.int64)
    width = min(k + _SPARE, len(templates))
    for low in range(0, len(probes), BLOCK):
        block = probes[low : low + BLOCK]
        near = np.sort(np.argpartition(block @ templates.T, -width, axis=1)[:, -width:], axis=1)
        exact = np.einsum("bkd,bd->bk", templates[near].astype(np.float64), block.astype(np.float64))
        order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
        scores[low : low + BLOCK] = np.clip(np.take_along_axis(exact, order, 1), -1.0, 1.0)
        persons[low : low + BLOCK] = np.take_along_axis(near, order, 1)
    return scores, persons


def _best_of(scores: NDArray[np.float64], persons: Ints) -> Candidates:
    """The K best of the candidates (M, K) of M photos of one person, each by its best photo."""
    best: dict[int, float] = {}
    for score, person in zip(scores.ravel().tolist(), persons.ravel().tolist(), strict=True):
        best[person] = max(score, best.get(person, -np.inf))
    ordered = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[: scores.shape[1]]
    return np.array([score for _, score in ordered]), np.array([person for person, _ in ordered], np.int64)
