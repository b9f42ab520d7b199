"""Faces to groups: a graph of nearest neighbours, then average linkage over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.index.people.index_faces import BLOCK, IndexFaces
from cosface_cli.maths.clustering import average_linkage, distinct_pairs

Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]

# Pairwise F on CelebA with 5, 10, 20 or 40 neighbours: .869, .869, .865, .865; with all pairs .865.
NEIGHBOURS = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Groups:
    """N faces in G groups. A face that occurs several times counts once in its group's vectors."""

    group_of: Ints
    """(N,): the group of each face, from 0."""
    cosine: NDArray[np.float64]
    """(N,): the mean cosine of each face with the others of its group; 1 for a face alone."""
    other_cosine: NDArray[np.float64]
    """(N,): the largest mean cosine of each face with a neighbour's group other than its own; -1 without one."""
    sums: Vectors
    """(G, D): the sum of each group's unit vectors."""
    counts: Ints
    """(G,): the number of vectors in each sum."""


def link_faces(
    faces: IndexFaces,
    distinct: Ints,
    start_group: Ints,
    is_fixed: NDArray[np.bool_],
    min_cos: float,
    on_progress: Callable[[int], None],
) -> Groups:
    """Group the faces of an index.

    distinct (N,): the number of each distinct face, from 0; equal for two copies of one photo. start_group: by that
    number, the first group of the face, from 0. is_fixed: by group, whether it is never merged with other fixed groups.
    min_cos: see average_linkage. on_progress: called with the number of faces whose neighbours were searched.

    Memory holds the sums of the groups (as large as all vectors, float32) and NEIGHBOURS numbers per face.
    """
    start = start_group[distinct]
    count = int(start_group.max()) + 1 if len(start_group) else 0
    sums = np.zeros((count, faces.header.size), np.float32)
    is_first = np.zeros(len(distinct), bool)
    is_first[np.unique(distinct, return_index=True)[1]] = True
    counts = np.bincount(start[is_first], minlength=count)
    neighbours = np.full((len(faces), NEIGHBOURS + 1), -1, np.int32)
    for low, vectors in faces.blocks():
        block = np.arange(low, low + len(vectors))
        np.add.at(sums, start[block[is_first[block]]], vectors[is_first[block]])
        _, numbers = faces.nearest(vectors, NEIGHBOURS + 1)  # one of them is the face itself
        is_other = (numbers >= 0) & (distinct[numbers] != distinct[block][:, None])
        neighbours[block, : numbers.shape[1]] = np.where(is_other, numbers, -1)
        on_progress(low + len(vectors))
    face, column = np.nonzero(neighbours >= 0)
    left, right, _ = distinct_pairs(start[face], start[neighbours[face, column]], count)
    groups = average_linkage(sums, counts, left, right, min_cos, is_fixed)
    merges = -1
    while merges:
        fixed_now = np.zeros(count, bool)
        fixed_now[groups[is_fixed]] = True
        bridges = _bridges(groups, left, right, sums, counts, min_cos)
        merged = average_linkage(sums, counts, *bridges, min_cos, fixed_now)
        merges = int((merged != np.arange(count)).sum())
        groups = merged[groups]
    names, group_of = np.unique(groups[start], return_inverse=True)
    return _measure(faces, group_of.astype(np.int64), sums[names], counts[names], neighbours)


def _bridges(groups: Ints, left: Ints, right: Ints, sums: Vectors, counts: Ints, min_cos: float) -> tuple[Ints, Ints]:
    """Pairs of near groups, one of which has no edge to another group.

    If a person has more than NEIGHBOURS photos of one occasion, all neighbours of such a photo are of the same
    occasion, and the graph alone would never join it with another occasion.
    """
    one, two, _ = distinct_pairs(groups[left], groups[right], len(sums))
    all_groups = np.unique(groups)
    closed = np.setdiff1d(all_groups, np.concatenate([one, two]))
    pairs = [np.zeros((2, 0), np.int64)]
    for low in range(0, len(closed), BLOCK):
        rows = closed[low : low + BLOCK]
        for start in range(0, len(all_groups), BLOCK):
            columns = all_groups[start : start + BLOCK]
            products = sums[rows].astype(np.float64) @ sums[columns].T.astype(np.float64)
            row, column = np.nonzero(products >= min_cos * np.outer(counts[rows], counts[columns]))
            pairs.append(np.stack([rows[row], columns[column]]))
    one, two = np.concatenate(pairs, axis=1)
    return distinct_pairs(one, two, len(sums))[:2]


def _measure(faces: IndexFaces, group_of: Ints, sums: Vectors, counts: Ints, neighbours: NDArray[np.int32]) -> Groups:
    """The groups with the cosines of each face."""
    cosine, other_cosine = np.ones(len(group_of)), np.full(len(group_of), -1.0)
    for low, vectors in faces.blocks():
        block = slice(low, low + len(vectors))
        group, exact = group_of[block], vectors.astype(np.float64)
        size = counts[group]
        total = np.einsum("nd,nd->n", exact, sums[group].astype(np.float64))
        cosine[block] = np.where(size > 1, (total - 1.0) / np.maximum(size - 1, 1), 1.0)
        for column in range(neighbours.shape[1]):
            neighbour = neighbours[block, column]
            other_group = group_of[neighbour]
            mean = np.einsum("nd,nd->n", exact, sums[other_group].astype(np.float64)) / counts[other_group]
            is_other = (neighbour >= 0) & (other_group != group)
            larger = np.maximum(other_cosine[block], mean)
            other_cosine[block] = np.where(is_other, larger, other_cosine[block])
    return Groups(
        group_of=group_of,
        cosine=np.clip(cosine, -1.0, 1.0),
        other_cosine=np.clip(other_cosine, -1.0, 1.0),
        sums=sums,
        counts=counts,
    )
