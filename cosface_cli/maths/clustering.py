"""Average linkage over a graph of neighbours, and how well groups agree with true names.

The mean cosine between the members of two groups is the product of their mean vectors, so groups need no more than a
sum and a count, however many members they have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

BLOCK = 1 << 12  # pairs whose vectors are in memory at a time


def average_linkage(
    sums: Floats, counts: Ints, left: Ints, right: Ints, least: float, held: NDArray[np.bool_] | None = None
) -> Ints:
    """Merge groups while the mean cosine between two of them is `least` or more; gives the group (M,) of each.

    sums (M, D): of each group's unit vectors, changed in place; counts (M,): how many, likewise; left, right (E,):
    the pairs of groups that may be merged, each once, which are handed on to what they become. held (M,): groups
    that stay apart from each other. A group is called by the least of its members' numbers.

    In each round all pairs that are each other's nearest are merged. As a merged group is never nearer to a third
    than the nearer of its two was, that is the same as one pair at a time, the nearest first (Murtagh 1983, Sumengen
    2021). Equally near ones go by number, so the order of the edges does not matter.
    """
    groups = np.arange(len(sums), dtype=np.int64)
    apart = np.zeros(len(sums), bool) if held is None else held.copy()
    cosines = _means(sums, counts, left, right)
    while True:
        near = (cosines >= least) & ~(apart[left] & apart[right])
        if not near.any():
            return groups
        kept, gone = _reciprocal(left[near], right[near], cosines[near], len(sums))
        sums[kept] += sums[gone]
        counts[kept] += counts[gone]
        apart[kept] |= apart[gone]
        becomes = np.arange(len(sums), dtype=np.int64)
        becomes[gone] = kept
        groups = becomes[groups]
        changed = np.zeros(len(sums), bool)
        changed[kept] = True
        left, right, first = distinct_pairs(becomes[left], becomes[right], len(sums))
        cosines = cosines[first]
        anew = np.flatnonzero(changed[left] | changed[right])
        cosines[anew] = _means(sums, counts, left[anew], right[anew])


def distinct_pairs(left: Ints, right: Ints, count: int) -> tuple[Ints, Ints, Ints]:
    """Pairs of different numbers below count, each once and the smaller first; and where each stood first."""
    where = np.flatnonzero(left != right)
    low, high = np.minimum(left[where], right[where]), np.maximum(left[where], right[where])
    codes, first = np.unique(low * count + high, return_index=True)
    return codes // count, codes % count, where[first]


def _reciprocal(left: Ints, right: Ints, cosines: NDArray[np.float64], count: int) -> tuple[Ints, Ints]:
    """The pairs that are each other's nearest, the smaller number first."""
    own, other = np.concatenate([left, right]), np.concatenate([right, left])
    order = np.lexsort((other, -np.concatenate([cosines, cosines]), own))
    own, other = own[order], other[order]
    first = np.flatnonzero(np.diff(own, prepend=-1))
    nearest = np.full(count, -1, np.int64)
    nearest[own[first]] = other[first]
    one = own[first]
    one = one[(nearest[nearest[one]] == one) & (one < nearest[one])]
    return one, nearest[one]


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
    """How well groups agree with true names, each 0..1."""

    pair_f: float
    """Harmonic mean of the next two."""
    pair_precision: float
    """Share of one person among the pairs of faces in the same group."""
    pair_recall: float
    """Share in the same group among the pairs of faces of one person."""
    bcubed_f: float
    """Harmonic mean of the next two."""
    bcubed_precision: float
    """Share of a face's group that is its person, mean over faces (Bagga and Baldwin 1998)."""
    bcubed_recall: float
    """Share of a face's person that is in its group, mean over faces."""
    nmi: float
    """Mutual information, divided by the mean of the two entropies."""


def agreement(truth: Ints, groups: Ints) -> Agreement:
    """Scores of groups (N,) against the true people (N,), both as numbers from 0. Raises ValueError for no faces."""
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
    """1 where there is nothing to be wrong about."""
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
    return min(1.0, max(0.0, shared / mean)) if mean > 0 else 1.0  # one person in one group: nothing to tell apart


def _entropy(shares: NDArray[np.float64]) -> float:
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())
