"""What a training set has of a test set: the same files, the nearest faces, the same people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.errors import CosfaceError
from cosface_cli.verify.leakage import LeakageConfig
from cosface_cli.verify.leakage.centres import SAMPLE, Gathering, pairs_over, stranger_threshold
from cosface_cli.verify.leakage.tested import Face

CHUNK = 2048  # rows of the training set compared at a time
LOOKED_AT = 3  # of the nearest photos of the training set, for each face of the test


@dataclass(slots=True, eq=False)
class Found:
    """files: by test face, the training row of the same content; near: the nearest rows over the threshold, best first;
    people: cosine, person of the test and person of the training set, best first; firsts: by person of the training
    set, a row; threshold: of people; faces, trained: how many faces and people were trained on."""

    files: dict[int, Row] = field(default_factory=dict)
    near: dict[int, list[tuple[float, Row, NDArray[np.float32]]]] = field(default_factory=dict)
    people: list[tuple[float, str, str]] = field(default_factory=list)
    firsts: dict[str, Row] = field(default_factory=dict)
    threshold: float = 1.0
    faces: int = 0
    trained: int = 0


def search(config: LeakageConfig, test: Sequence[Face]) -> Found:
    """Two passes over the training set. Raises CosfaceError where it has no two people to take a threshold from."""
    found = Found()
    by_hash: dict[str, list[int]] = {}
    for number, face in enumerate(test):
        by_hash.setdefault(face.hash, []).append(number)
    with Store(config.train) as store:
        found.faces = len(store)
        every = -(-len(store) // SAMPLE)
        gathering, sample, codes = Gathering(store.header.size), [], []
        for block, rows in _blocks(store):
            for row in rows:
                found.firsts.setdefault(row.identity or row.source, row)
                for number in by_hash.get(row.hash, ()):
                    found.files.setdefault(number, row)
            numbers = gathering.add(block, [row.identity or row.source for row in rows])
            sample.append(block[::every])
            codes.append(numbers[::every])
        trained = gathering.centres()
        found.trained = len(trained.names)
        threshold = config.threshold
        if threshold is None:
            threshold = stranger_threshold(np.concatenate(sample), np.concatenate(codes), trained, config.far)
        if threshold is None:
            raise CosfaceError("only one person in it: no threshold to be found", config.train, "give one: --threshold")
        found.threshold = threshold
        own = Gathering(store.header.size)
        own.add(np.stack([face.vector for face in test]), [face.person for face in test])
        tested = own.centres()
        pairs = pairs_over(tested, trained, threshold)
        found.people = [(cos, tested.names[one], trained.names[other]) for cos, one, other in pairs]
        vectors = np.stack([face.vector for face in test]).T  # (D, M)
        for block, rows in _blocks(store):
            cosines = block @ vectors
            for at, number in np.argwhere(cosines >= threshold):
                near = found.near.setdefault(int(number), [])
                near.append((float(cosines[at, number]), rows[at], block[at]))
                near.sort(key=lambda one: -one[0])
                del near[LOOKED_AT:]
    return found


def _blocks(store: Store) -> Iterator[tuple[NDArray[np.float32], list[Row]]]:
    for low in range(0, len(store), CHUNK):
        high = min(low + CHUNK, len(store))
        yield store.vectors(low, high), list(store.rows(low, high))
