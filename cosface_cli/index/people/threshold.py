"""The mean cosine from which two groups of faces are one person's."""

from __future__ import annotations

import numpy as np

from cosface_cli.errors import CosfaceError
from cosface_cli.index.people.faces import Faces
from cosface_cli.outcomes import Note, OnOutcome

# By model and flip, from 6,253 faces of 299 CelebA people: where pairwise F and BCubed F are best on average over three
# collections, all faces, 50 of the people, and everybody with one photo or a few: about .01 below each one's own best.
# tests/bench/cluster.py --choose computes it.
KNOWN = {
    ("dlib-resnet29-55533b28a95800a5", "none"): 0.922,
    ("dlib-resnet29-55533b28a95800a5", "sum"): 0.926,
    ("dlib-resnet29-55533b28a95800a5", "concat"): 0.921,
    ("dlib-resnet29-int8-a7bf5e19970a7d15", "none"): 0.922,
}
# So many deviations above the cosines of strangers: on the same collections .034 below the embedded network's best,
# which is at 2.1, and .024 below that of a MobileFaceNet trained by others, which is at 3.
DEVIATIONS = 2.4
_PAIRS = 200_000
_FEWEST = 100  # faces below which their own cosines say nothing about strangers


def least_cosine(faces: Faces, wanted: float | None, emit: OnOutcome) -> float:
    """The threshold asked for, or the model's, or one that is told from the faces' own cosines.

    The last takes most pairs of faces for pairs of strangers, so it needs dozens of people; it is said aloud.
    Raises CosfaceError where there are too few faces for it.
    """
    if wanted is not None:
        if not -1.0 <= wanted <= 1.0:
            raise CosfaceError(f"--min-cos {wanted} is no cosine", hint="give a number from -1 to 1")
        return wanted
    header = faces.header
    known = KNOWN.get((header.model_id, header.flip))
    if known is not None:
        return known
    if len(faces) < _FEWEST:
        problem = f"no threshold is known for {header.model} ({header.model_id}), and {len(faces)} faces tell none"
        raise CosfaceError(problem, faces.root, "give one with --min-cos")
    found = _told_from(faces)
    emit(
        Note(
            f"no threshold is known for {header.model} ({header.model_id}, flip {header.flip}): {found:.3f}, told from "
            "the cosines of these faces, which holds for dozens of people or more; --min-cos gives your own"
        )
    )
    return found


def _told_from(faces: Faces) -> float:
    """Median and median absolute deviation of cosines between faces drawn at random, always the same ones."""
    draw = np.random.default_rng(0)
    some = np.unique(draw.integers(0, len(faces), 2048))
    vectors = faces.take(some).astype(np.float64)
    one, other = draw.integers(0, len(some), (2, _PAIRS))
    one, other = one[one != other], other[one != other]
    cosines = np.concatenate(
        [
            np.einsum("nd,nd->n", vectors[one[low : low + 4096]], vectors[other[low : low + 4096]])
            for low in range(0, len(one), 4096)
        ]
    )
    middle = float(np.median(cosines))
    return min(1.0, middle + DEVIATIONS * 1.4826 * float(np.median(np.abs(cosines - middle))))
