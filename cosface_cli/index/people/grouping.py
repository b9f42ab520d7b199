"""Faces to groups: a graph of neighbours, then average linkage over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.index.people.faces import BLOCK, Faces
from cosface_cli.maths.clustering import average_linkage, distinct_pairs

Ints = NDArray[np.int64]

# With 5, 10, 20 or 40 pairwise F on CelebA is .869, .869, .865, .865, and .865 with all pairs.
NEIGHBOURS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """of (N,): the group of each face, from 0; own (N,): its mean cosine with the others of its group, 1 for a single;
    other (N,): the largest mean cosine with a neighbour's group, -1 without one; sums (G, D), counts (G,): of the
    groups' vectors; a face that stands twice counts once."""

    of: Ints
    own: NDArray[np.float64]
    other: NDArray[np.float64]
    sums: NDArray[np.float32]
    counts: Ints


def grouped(
    faces: Faces, same: Ints, given: Ints, held: NDArray[np.bool_], least: float, far: Callable[[int], None]
) -> Groups:
    """Group the faces of an index.

    same (N,): a number for each face from 0 up, equal for equal ones (the same photo twice); given: by that number, the
    group it begins in, from 0; held: by group, whether it is to stay apart from other held ones; least: see
    maths.clustering.average_linkage; far: is told how many faces have been looked up.

    Memory holds the groups' sums (as much as the vectors, float32) and NEIGHBOURS a face.
    """
    start = given[same]
    count = int(given.max()) + 1 if len(given) else 0
    sums = np.zeros((count, faces.header.size), np.float32)
    first = np.zeros(len(same), bool)
    first[np.unique(same, return_index=True)[1]] = True
    counts = np.bincount(start[first], minlength=count)
    near = np.full((len(faces), NEIGHBOURS + 1), -1, np.int32)
    for low, vectors in faces.blocks():
        here = np.arange(low, low + len(vectors))
        np.add.at(sums, start[here[first[here]]], vectors[first[here]])
        _, numbers = faces.nearest(vectors, NEIGHBOURS + 1)  # one of them is the face itself
        others = (numbers >= 0) & (same[numbers] != same[here][:, None])
        near[here, : numbers.shape[1]] = np.where(others, numbers, -1)
        far(low + len(vectors))
    own, place = np.nonzero(near >= 0)
    left, right, _ = distinct_pairs(start[own], start[near[own, place]], count)
    groups = average_linkage(sums, counts, left, right, least, held)
    merged = -1
    while merged:
        apart = np.zeros(count, bool)
        apart[groups[held]] = True
        more = average_linkage(sums, counts, *_bridges(groups, left, right, sums, counts, least), least, apart)
        merged = int((more != np.arange(count)).sum())
        groups = more[groups]
    names, of = np.unique(groups[start], return_inverse=True)
    return _measured(faces, of.astype(np.int64), sums[names], counts[names], near)


def _bridges(
    groups: Ints, left: Ints, right: Ints, sums: NDArray[np.float32], counts: Ints, least: float
) -> tuple[Ints, Ints]:
    """Pairs of near groups, one of which no edge leads out of.

    Where somebody has more photos of one moment than NEIGHBOURS, each has only the others of that moment for
    neighbours, so the graph alone would never join that moment to another one.
    """
    one, two, _ = distinct_pairs(groups[left], groups[right], len(sums))
    every = np.unique(groups)
    closed = np.setdiff1d(every, np.concatenate([one, two]))
    pairs = [np.zeros((2, 0), np.int64)]
    for low in range(0, len(closed), BLOCK):
        mine = closed[low : low + BLOCK]
        for at in range(0, len(every), BLOCK):
            theirs = every[at : at + BLOCK]
            products = sums[mine].astype(np.float64) @ sums[theirs].T.astype(np.float64)
            own, other = np.nonzero(products >= least * np.outer(counts[mine], counts[theirs]))
            pairs.append(np.stack([mine[own], theirs[other]]))
    one, two = np.concatenate(pairs, axis=1)
    return distinct_pairs(one, two, len(sums))[:2]


def _measured(faces: Faces, of: Ints, sums: NDArray[np.float32], counts: Ints, near: NDArray[np.int32]) -> Groups:
    own, other = np.ones(len(of)), np.full(len(of), -1.0)
    for low, vectors in faces.blocks():
        high = low + len(vectors)
        group, exact = of[low:high], vectors.astype(np.float64)
        size = counts[group]
        total = np.einsum("nd,nd->n", exact, sums[group].astype(np.float64))
        own[low:high] = np.where(size > 1, (total - 1.0) / np.maximum(size - 1, 1), 1.0)
        for place in range(near.shape[1]):
            number = near[low:high, place]
            theirs = of[number]
            mean = np.einsum("nd,nd->n", exact, sums[theirs].astype(np.float64)) / counts[theirs]
            strange = (number >= 0) & (theirs != group)
            other[low:high] = np.where(strange, np.maximum(other[low:high], mean), other[low:high])
    return Groups(of, np.clip(own, -1.0, 1.0), np.clip(other, -1.0, 1.0), sums, counts)
