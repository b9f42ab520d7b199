"""Average linkage over a graph of neighbours, and the agreement of groups with true names.

The mean cosine between the members of two groups is the inner product of their mean vectors. So a group is stored as a
sum and a count, however many members it has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

BLOCK = 1 << 12  # pairs whose vectors are in memory at a time


def average_linkage(
    sums: Floats, counts: Ints, left: Ints, right: Ints, least: float, separate: NDArray[np.bool_] | None = None
) -> Ints:
    """Merge groups while the mean cosine between two of them is `least` or more. Returns the final group (M,) of each.

    sums (M, D): the sum of each group's unit vectors, changed in place; counts (M,): the number of its vectors, changed
    in place; left, right (E,): the pairs of groups that may be merged, each once; a merged group inherits the pairs of
    its parts. separate (M,): groups that are never merged with each other. The number of a group is the smallest number
    of its members.

    Each round merges all pairs that are each other's nearest neighbour. A merged group is never nearer to a third group
    than the nearer of its two parts was. So the result is the same as merging one pair at a time, nearest first
    (Murtagh 1983, Sumengen 2021). Ties are broken by number, so the order of the edges does not matter.
    """
    groups = np.arange(len(sums), dtype=np.int64)
    apart = np.zeros(len(sums), bool) if separate is None else separate.copy()
    cosines = _means(sums, counts, left, right)
    while True:
        near = (cosines >= least) & ~(apart[left] & apart[right])
        if not near.any():
            return groups
        target, merged = _reciprocal(left[near], right[near], cosines[near], len(sums))
        sums[target] += sums[merged]
        counts[target] += counts[merged]
        apart[target] |= apart[merged]
        new_number = np.arange(len(sums), dtype=np.int64)
        new_number[merged] = target
        groups = new_number[groups]
        changed = np.zeros(len(sums), bool)
        changed[target] = True
        left, right, first = distinct_pairs(new_number[left], new_number[right], len(sums))
        cosines = cosines[first]
        stale = np.flatnonzero(changed[left] | changed[right])
        cosines[stale] = _means(sums, counts, left[stale], right[stale])


def distinct_pairs(left: Ints, right: Ints, count: int) -> tuple[Ints, Ints, Ints]:
    """The distinct pairs of two different numbers below count, smaller first; and where each occurs first."""
    where = np.flatnonzero(left != right)
    low, high = np.minimum(left[where], right[where]), np.maximum(left[where], right[where])
    codes, first = np.unique(low * count + high, return_index=True)
    return codes // count, codes % count, where[first]


def _reciprocal(left: Ints, right: Ints, cosines: NDArray[np.float64], count: int) -> tuple[Ints, Ints]:
    """The pairs that are each other's nearest neighbour, smaller number first."""
    groups, neighbours = np.concatenate([left, right]), np.concatenate([right, left])
    order = np.lexsort((neighbours, -np.concatenate([cosines, cosines]), groups))
    groups, neighbours = groups[order], neighbours[order]
    first = np.flatnonzero(np.diff(groups, prepend=-1))
    nearest = np.full(count, -1, np.int64)
    nearest[groups[first]] = neighbours[first]
    smaller = groups[first]
    smaller = smaller[(nearest[nearest[smaller]] == smaller) & (smaller < nearest[smaller])]
    return smaller, nearest[smaller]


def _means(sums: Floats, counts: Ints, left: Ints, right: Ints) -> NDArray[np.float64]:
    """The mean cosines (E,) between the members of pairs of groups."""
    out = np.empty(len(left))
    for low in range(0, len(left), BLOCK):
        a, b = left[low : low + BLOCK], right[low : low + BLOCK]
        products = np.einsum("ed,ed->e", sums[a].astype(np.float64), sums[b].astype(np.float64))
        out[low : low + BLOCK] = products / (counts[a] * counts[b])
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The agreement of groups with true names. Every figure is in 0..1."""

    pair_f: float
    """Harmonic mean of pair_precision and pair_recall."""
    pair_precision: float
    """Of the pairs of faces in one group, the share that show one person."""
    pair_recall: float
    """Of the pairs of faces of one person, the share in one group."""
    bcubed_f: float
    """Harmonic mean of bcubed_precision and bcubed_recall."""
    bcubed_precision: float
    """Share of the face's person among its group, averaged over faces (Bagga and Baldwin 1998)."""
    bcubed_recall: float
    """Share of the face's group among its person's faces, averaged over faces."""
    nmi: float
    """Mutual information, divided by the mean of the two entropies."""


def agreement(truth: Ints, groups: Ints) -> Agreement:
    """The agreement of groups (N,) with the true people (N,), both numbers from 0. Raises ValueError without faces."""
    n = len(truth)
    if not n or len(groups) != n:
        raise ValueError(f"{len(groups)} groups cannot be compared with {n} names")
    (people, sets), shared = np.unique(np.stack([truth, groups]), axis=1, return_counts=True)
    of_person, of_group = np.bincount(truth), np.bincount(groups)
    right = _pairs(shared)
    pair_precision = _share(right, _pairs(of_group))
    pair_recall = _share(right, _pairs(of_person))
    bcubed_precision = float((shared**2 / of_group[sets]).sum() / n)
    bcubed_recall = float((shared**2 / of_person[people]).sum() / n)
    return Agreement(
        pair_f=_harmonic(pair_precision, pair_recall),
        pair_precision=pair_precision,
        pair_recall=pair_recall,
        bcubed_f=_harmonic(bcubed_precision, bcubed_recall),
        bcubed_precision=bcubed_precision,
        bcubed_recall=bcubed_recall,
        nmi=_mutual_information(shared / n, of_person[people] / n, of_group[sets] / n, of_person / n, of_group / n),
    )


def _pairs(sizes: Ints) -> int:
    return int((sizes * (sizes - 1) // 2).sum())


def _share(part: int, whole: int) -> float:
    """part / whole; 1 for an empty whole, which has no errors."""
    return part / whole if whole else 1.0


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


def _mutual_information(
    joint: NDArray[np.float64],
    of_person: NDArray[np.float64],
    of_group: NDArray[np.float64],
    people: NDArray[np.float64],
    groups: NDArray[np.float64],
) -> float:
    shared = float((joint * np.log(joint / (of_person * of_group))).sum())
    mean = (_entropy(people) + _entropy(groups)) / 2
    return min(1.0, max(0.0, shared / mean)) if mean > 0 else 1.0  # mean 0: one person in one group


def _entropy(shares: NDArray[np.float64]) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())
