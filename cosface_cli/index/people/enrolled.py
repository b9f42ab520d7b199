"""The people whom an index knows by name, ready to be compared with probes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.people import People, face_key
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people.faces import BLOCK, Faces
from cosface_cli.maths.pooling import pooled

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Scores = tuple[NDArray[np.float64], Ints]

POOLS = ("mean", "max", "quality")
# The detector's score to that power. On CelebA identification is then a little better than with equal weights; weights
# by sharpness or by the size of the face make it worse.
QUALITY_POWER = 4
_SPARE = 16  # the last bits of a product depend on the batch: so many more are scored again in double precision
_DEEPER = 4  # times as many faces are looked at while there are too few people among them


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
            quality.append(max(row.score, 0.0) ** QUALITY_POWER)
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

    def candidates(self, photos: Floats, quality: NDArray[np.float64], k: int) -> Scores:
        """The k best persons for one person's photos (M, D): cosines and places in names (k,), best first."""
        if self.pool != "max":
            weights = quality if self.pool == "quality" else None
            scores, persons = self.best(pooled(photos, weights)[None], k)
            return scores[0], persons[0]
        scores, persons = self.best(photos, k)
        best: dict[int, float] = {}
        for score, person in zip(scores.ravel().tolist(), persons.ravel().tolist(), strict=True):
            best[person] = max(score, best.get(person, -2.0))
        ordered = sorted(best.items(), key=lambda pair: (-pair[1], pair[0]))[: scores.shape[1]]
        return np.array([score for _, score in ordered]), np.array([person for person, _ in ordered], np.int64)

    def best(self, probes: Floats, k: int) -> Scores:
        """The k best persons for each probe (B, D): cosines and places in names (B, K = min(k, persons)), best first;
        equal ones in the order of their names."""
        k = min(k, len(self.names))
        return self._by_template(probes, k) if self._templates is not None else self._by_face(probes, k)

    def nearest_photo(self, photo: Floats, person: int) -> int:
        """The number of a person's face that is nearest to a vector (D,)."""
        own = self.rows_of[person]
        cosines = self.faces.take(own).astype(np.float64) @ photo.astype(np.float64)
        return int(own[int(np.argmax(cosines))])

    def _enrol(self) -> Floats:
        out = np.empty((len(self.names), self.faces.header.size), np.float32)
        for place, rows in enumerate(self.rows_of):
            weights = self.quality[rows] if self.pool == "quality" and self.quality[rows].any() else None
            out[place] = pooled(self.faces.take(rows), weights)
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


def stranger_scores(enrolled: Enrolled, together: int, most: int) -> NDArray[np.float64]:
    """The best scores of searches by people who are not enrolled: each person enrolled, taken for one who is not.

    The person's own entry is left out of the answer; the rest of the gallery is as it is. together: photos of each
    search, as many as a probe has, or all of a person's where nobody has so many; most: searches, evenly chosen.
    Raises CosfaceError for one person alone.
    """
    if len(enrolled.names) < 2:
        problem = "one person alone tells nothing about strangers"
        raise CosfaceError(problem, enrolled.faces.root, "give strangers by --strangers, or a cosine by --min-cos")
    groups = [
        rows[at : at + together] for rows in enrolled.rows_of for at in range(0, len(rows) - together + 1, together)
    ] or enrolled.rows_of
    groups = groups[:: max(1, -(-len(groups) // most))]
    return np.array([_best_other(enrolled, rows) for rows in groups])


def _best_other(enrolled: Enrolled, rows: Ints) -> float:
    scores, persons = enrolled.candidates(enrolled.faces.take(rows), enrolled.quality[rows], 2)
    return float(scores[persons != enrolled.of[rows[0]]][0])
