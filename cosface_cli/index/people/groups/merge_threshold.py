"""The mean cosine from which two groups of faces are of the same person."""

from __future__ import annotations

import numpy as np

from cosface_cli.errors import CosfaceError
from cosface_cli.index.people.index_faces import IndexFaces
from cosface_cli.outcomes import Note, OnOutcome

# By model and flip, from 6,253 faces of 299 CelebA people: the threshold with the best pairwise F and BCubed F on
# average over three collections: all faces, 50 of the people, and one or a few photos of each person. Both are about
# .01 below the best of each single collection. tests/bench/cluster.py --choose computes it.
MEASURED = {
    ("dlib-resnet29-55533b28a95800a5", "none"): 0.922,
    ("dlib-resnet29-55533b28a95800a5", "sum"): 0.926,
    ("dlib-resnet29-55533b28a95800a5", "concat"): 0.921,
    ("dlib-resnet29-int8-a7bf5e19970a7d15", "none"): 0.922,
}
# The estimate is this number of deviations above the median cosine of strangers. On the same collections its F is .034
# below the packaged network's best, which is at 2.1 deviations, and .024 below that of a public MobileFaceNet, at 3.
DEVIATIONS = 2.4
_PAIRS = 200_000
_MIN_FACES = 100  # fewer faces are too few to estimate the cosines of strangers


def merge_threshold(faces: IndexFaces, min_cos: float | None, emit: OnOutcome) -> float:
    """min_cos; if it is None, the threshold measured for the model, or else an estimate from the faces.

    The estimate assumes that most pairs of faces are pairs of strangers, so it needs dozens of people; a Note says so.
    Raises CosfaceError if there are too few faces for an estimate.
    """
    if min_cos is not None:
        return min_cos
    header = faces.header
    measured = MEASURED.get((header.model_id, header.flip))
    if measured is not None:
        return measured
    if len(faces) < _MIN_FACES:
        problem = f"no threshold is known for {header.model} ({header.model_id}), and {len(faces)} faces are too few"
        raise CosfaceError(f"{problem} to estimate one", faces.root, "give one with --min-cos")
    threshold = estimate(faces)
    emit(
        Note(
            f"no threshold is known for {header.model} ({header.model_id}, flip {header.flip}): {threshold:.3f} was "
            "estimated from the cosines of these faces, which needs dozens of people; --min-cos sets another one"
        )
    )
    return threshold


def estimate(faces: IndexFaces) -> float:
    """Estimate the threshold from the median and the median absolute deviation of the cosines between randomly drawn
    faces, which are the same in each run."""
    rng = np.random.default_rng(0)
    sample = np.unique(rng.integers(0, len(faces), 2048))
    vectors = faces.take(sample).astype(np.float64)
    one, other = rng.integers(0, len(sample), (2, _PAIRS))
    one, other = one[one != other], other[one != other]
    cosines = np.concatenate(
        [
            np.einsum("nd,nd->n", vectors[one[low : low + 4096]], vectors[other[low : low + 4096]])
            for low in range(0, len(one), 4096)
        ]
    )
    median = float(np.median(cosines))
    return min(1.0, median + DEVIATIONS * 1.4826 * float(np.median(np.abs(cosines - median))))
