"""The faces of a test set that are in a training set: the same files, the nearest faces, the same people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.errors import CosfaceError
from cosface_cli.verify.leakage import LeakageConfig
from cosface_cli.verify.leakage.person_centres import SAMPLE, CentreSums, pairs_over, stranger_threshold
from cosface_cli.verify.leakage.tested_faces import FaceOfTest

CHUNK = 2048  # rows of the training set compared at a time
NEAREST = 3  # faces of the training set kept for each face of the test


@dataclass(slots=True, eq=False, kw_only=True)
class SharedFaces:
    """Faces and people that both sets have. Faces of the test are numbered."""

    files: dict[int, FaceRow] = field(default_factory=dict)
    """By test face, the training row with the same file."""
    near: dict[int, list[tuple[float, FaceRow, NDArray[np.float32]]]] = field(default_factory=dict)
    """By test face, the nearest training faces over the threshold: cosine, row and vector, best first."""
    people: list[tuple[float, str, str]] = field(default_factory=list)
    """Cosine, person of the test and person of the training set, best first."""
    first_rows: dict[str, FaceRow] = field(default_factory=dict)
    """The first row of each person of the training set."""
    threshold: float = 1.0
    """Cosine from which two people count as one."""
    train_faces: int = 0
    train_people: int = 0


def find_shared(config: LeakageConfig, test: Sequence[FaceOfTest]) -> SharedFaces:
    """Find them in two passes over the training set. Raises CosfaceError if a threshold needs more than one person."""
    shared = SharedFaces()
    by_hash: dict[str, list[int]] = {}
    for number, face in enumerate(test):
        by_hash.setdefault(face.hash, []).append(number)
    with Store(config.train) as store:
        shared.train_faces = len(store)
        every = -(-len(store) // SAMPLE)
        sums, sample, sample_codes = CentreSums(store.header.size), [], []
        for block in store.blocks(CHUNK):
            for row in block.rows:
                shared.first_rows.setdefault(row.identity or row.source, row)
                for number in by_hash.get(row.hash, ()):
                    shared.files.setdefault(number, row)
            codes = sums.add(block.vectors, [row.identity or row.source for row in block.rows])
            sample.append(block.vectors[::every])
            sample_codes.append(codes[::every])
        trained = sums.centres()
        shared.train_people = len(trained.names)
        threshold = config.threshold
        if threshold is None:
            threshold = stranger_threshold(np.concatenate(sample), np.concatenate(sample_codes), trained, config.far)
        if threshold is None:
            problem = "it has only one person, from whom no threshold can be taken"
            raise CosfaceError(problem, config.train, "give one: --threshold")
        shared.threshold = threshold
        test_sums = CentreSums(store.header.size)
        test_sums.add(np.stack([face.vector for face in test]), [face.person for face in test])
        tested = test_sums.centres()
        pairs = pairs_over(tested, trained, threshold)
        shared.people = [(cos, tested.names[one], trained.names[other]) for cos, one, other in pairs]
        vectors = np.stack([face.vector for face in test]).T  # (D, M)
        for block in store.blocks(CHUNK):
            cosines = block.vectors @ vectors
            for place, number in np.argwhere(cosines >= threshold):
                near = shared.near.setdefault(int(number), [])
                near.append((float(cosines[place, number]), block.rows[place], block.vectors[place]))
                near.sort(key=lambda face: -face[0])
                del near[NEAREST:]
    return shared
