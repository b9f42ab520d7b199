"""Average linkage beside scipy's over all pairs; scores beside scikit-learn's and by their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from cosface_cli.maths.clustering import agreement, average_linkage, distinct_pairs


def crowd(count: int, people: int, size: int = 8, seed: int = 0) -> np.ndarray:
    """Unit vectors about the directions of some people."""
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(people, size))[draw.integers(0, people, count)] + 0.7 * draw.normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def all_pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    left, right = np.triu_indices(count, 1)
    return left.astype(np.int64), right.astype(np.int64)


def same_parts(a: np.ndarray, b: np.ndarray) -> bool:
    together = a[:, None] == a[None]
    return bool((together == (b[:, None] == b[None])).all())


def merged(vectors: np.ndarray, left: np.ndarray, right: np.ndarray, least: float, separate: np.ndarray | None = None):
    return average_linkage(vectors.copy(), np.ones(len(vectors), np.int64), left, right, least, separate)


@pytest.mark.parametrize("least", (0.2, 0.5, 0.8, 0.95))
@pytest.mark.parametrize("seed", range(5))
def test_over_all_pairs_it_is_scipys_average_linkage(seed: int, least: float):
    vectors = crowd(120, 15, seed=seed)
    exact = vectors.astype(np.float64)
    distances = 1 - exact @ exact.T
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform((distances + distances.T) / 2, checks=False), "average")
    want = fcluster(tree, 1 - least, "distance")
    found = merged(vectors, *all_pairs(120), least)
    assert same_parts(found, want) and 1 < len(np.unique(found)) < 120
    assert (found <= np.arange(120)).all() and (found[found] == found).all(), "called by the least of its members"


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 40), st.integers(0, 2**32), st.floats(-0.5, 0.99))
def test_the_order_of_the_edges_changes_nothing(count: int, seed: int, least: float):
    draw = np.random.default_rng(seed)
    vectors = crowd(count, 5, seed=seed)[draw.integers(0, count, count)]  # with equal ones
    left, right = all_pairs(count)
    edges = np.flatnonzero(draw.random(len(left)) < 0.5)
    shuffled = draw.permutation(edges)
    flip = draw.random(len(edges)) < 0.5
    one, two = np.where(flip, left[shuffled], right[shuffled]), np.where(flip, right[shuffled], left[shuffled])
    np.testing.assert_array_equal(merged(vectors, left[edges], right[edges], least), merged(vectors, one, two, least))


def test_sums_and_counts_are_those_of_the_groups():
    vectors = crowd(60, 6)
    sums, counts = vectors.copy(), np.ones(60, np.int64)
    groups = average_linkage(sums, counts, *all_pairs(60), 0.5)
    for group in np.unique(groups):
        assert counts[group] == (groups == group).sum()
        np.testing.assert_allclose(sums[group], vectors[groups == group].sum(axis=0), atol=1e-5)


def test_held_groups_stay_apart_and_take_others_in():
    vectors = np.array([[1, 0], [1, 0], [0.8, 0.6], [0.96, 0.28]], np.float32)
    separate = np.array([True, True, False, False])
    groups = merged(vectors, *all_pairs(4), 0.7, separate)
    assert groups[0] != groups[1] and len(np.unique(groups)) == 2
    assert len(np.unique(merged(vectors, *all_pairs(4), 0.7))) == 1


def test_no_edges_and_nobody():
    none = np.zeros(0, np.int64)
    assert merged(crowd(3, 2), none, none, 0.0).tolist() == [0, 1, 2]
    assert merged(np.zeros((0, 8), np.float32), none, none, 0.0).tolist() == []


def test_distinct_pairs():
    left, right, first = distinct_pairs(np.array([3, 1, 2, 1, 0]), np.array([1, 3, 2, 0, 1]), 4)
    assert list(zip(left, right, first, strict=True)) == [(0, 1, 3), (1, 3, 0)]


def test_worked_by_hand():
    """People AAABB in groups 00111: one of A stands with the two of B."""
    found = agreement(np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1]))
    assert (found.pair_precision, found.pair_recall) == (2 / 4, 2 / 4)  # together: 1 + 3 pairs; of one person 3 + 1
    # precision of each face: 1, 1, 1/3, 2/3, 2/3; recall: 2/3, 2/3, 1/3, 1, 1
    assert found.bcubed_precision == pytest.approx((2 + 1 / 3 + 4 / 3) / 5)
    assert found.bcubed_recall == pytest.approx((4 / 3 + 1 / 3 + 2) / 5)
    assert found.pair_f == 0.5 and found.bcubed_f == pytest.approx(11 / 15)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.integers(1, 8), st.integers(1, 8), st.integers(0, 2**32))
def test_as_scikit_learn_and_as_defined(count: int, people: int, groups: int, seed: int):
    metrics = pytest.importorskip("sklearn.metrics")
    draw = np.random.default_rng(seed)
    truth = np.unique(draw.integers(0, people, count), return_inverse=True)[1]
    found_groups = np.unique(draw.integers(0, groups, count), return_inverse=True)[1]
    found = agreement(truth, found_groups)
    (_, false), (missed, right) = metrics.cluster.pair_confusion_matrix(truth, found_groups)
    assert found.pair_precision == pytest.approx(right / (right + false) if right + false else 1.0)
    assert found.pair_recall == pytest.approx(right / (right + missed) if right + missed else 1.0)
    assert found.nmi == pytest.approx(metrics.normalized_mutual_info_score(truth, found_groups), abs=1e-9)
    same = truth[:, None] == truth[None]
    together = found_groups[:, None] == found_groups[None]
    assert found.bcubed_precision == pytest.approx(((same & together).sum(1) / together.sum(1)).mean())
    assert found.bcubed_recall == pytest.approx(((same & together).sum(1) / same.sum(1)).mean())


def test_nothing_to_compare():
    with pytest.raises(ValueError, match="cannot be compared"):
        agreement(np.zeros(0, np.int64), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="2 groups"):
        agreement(np.zeros(3, np.int64), np.zeros(2, np.int64))
