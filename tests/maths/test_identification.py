"""Ranks, CMC, detection and the open set, worked by hand; pooling against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.maths.identification import NOWHERE, cmc, detected, open_set, ranks
from cosface_cli.maths.pooling import pooled

# four mated searches, the three best of a gallery of four each
SCORES = [[0.9, 0.5, 0.1], [0.8, 0.8, 0.2], [0.7, 0.6, 0.5], [0.4, 0.3, 0.2]]
CANDIDATES = [[0, 1, 2], [2, 1, 0], [3, 0, 2], [1, 2, 3]]
OWN = [0, 1, 2, 0]


def test_worked_by_hand() -> None:
    found, own_scores = ranks(SCORES, CANDIDATES, OWN)
    assert found.tolist() == [1, 2, 3, NOWHERE], "a tie goes against the own person; who is not there has no rank"
    assert own_scores.tolist() == [0.9, 0.8, 0.5, -np.inf]
    assert cmc(found, 4).tolist() == [0.25, 0.5, 0.75, 0.75]
    assert detected(found, own_scores, 0.85) == (1, 4)
    assert detected(found, own_scores, 0.8, rank=2) == (2, 4)
    assert detected(found, own_scores, 0.0, rank=3) == (3, 4)
    assert detected(found, own_scores, 0.90001) == (0, 4)
    with pytest.raises(ValueError, match="no mated"):
        cmc([], 3)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 10), st.integers(0, 2**32))
def test_as_counting_all_scores(count: int, gallery: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    every = draw.integers(0, 5, (count, gallery)) / 4  # with ties
    own = draw.integers(0, gallery, count)
    order = np.argsort(-every, axis=1, kind="stable")
    found, own_scores = ranks(np.take_along_axis(every, order, 1), order, own)
    mine = every[np.arange(count), own]
    np.testing.assert_array_equal(found, (every >= mine[:, None]).sum(axis=1))
    np.testing.assert_array_equal(own_scores, mine)


def test_pooled() -> None:
    vectors = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    np.testing.assert_allclose(pooled(vectors), [2**-0.5, 2**-0.5], atol=1e-7)
    np.testing.assert_allclose(pooled(vectors, [3.0, 4.0]), [0.6, 0.8], atol=1e-7)
    np.testing.assert_allclose(pooled(vectors, [3e-200, 4e-200]), [0.6, 0.8], atol=1e-7)
    assert pooled(vectors, [0.0, 1.0]).dtype == np.float32
    for weights in ([0.0, 0.0], [1.0, -1.0], [1.0], [1.0, np.nan]):
        with pytest.raises(ValueError, match=r"cancel|weights"):
            pooled(vectors, weights)
    with pytest.raises(ValueError, match="cancel"):
        pooled([[1.0, 0.0], [-1.0, 0.0]])
    with pytest.raises(ValueError, match="cancel"):
        pooled(np.zeros((0, 2)))


def test_ranks_in_a_whole_gallery_by_hand() -> None:
    scores = [
        [0.9, 0.5, 0.1],  # person 7: first
        [0.6, 0.5, 0.7],  # person 8: third
        [0.4, 0.4, 0.1],  # person 7: ties with 8, so second
        [0.9, 0.8, 0.7],  # person 5: not there
    ]
    rank, own = ranks(scores, [[7, 8, 9]] * 4, [7, 8, 7, 5])
    assert rank.tolist() == [1, 3, 2, NOWHERE]
    assert own.tolist() == [0.9, 0.5, 0.4, -np.inf]


def test_ranks_of_an_empty_gallery() -> None:
    rank, own = ranks(np.zeros((2, 0)), np.zeros((2, 0)), [1, 2])
    assert rank.tolist() == [NOWHERE, NOWHERE] and own.tolist() == [-np.inf, -np.inf]


def test_open_set_by_hand() -> None:
    """Four unmated searches: at FPIR .25 one may find somebody, so the threshold lies just over the second, .6."""
    rank, own = [1, 1, 2, 25], [0.9, 0.55, 0.65, 0.8]
    found = open_set(rank, own, [0.7, 0.6, 0.3, 0.2], 0.25)
    assert found.tpir == 0.5 and found.threshold == np.nextafter(0.6, 1) and found.achieved_fpir == 0.25
    assert open_set(rank, own, [0.7, 0.6, 0.3, 0.2], 0.25, rank=1).tpir == 0.25
    assert open_set(rank, own, [0.7, 0.6, 0.3, 0.2], 1.0).tpir == 0.75
    # tied on top: one may pass, two would, so none does
    assert open_set(rank, own, [0.6, 0.6, 0.3, 0.2], 0.25).achieved_fpir == 0.0


def test_an_open_set_that_cannot_be_resolved() -> None:
    found = open_set([1], [0.9], [0.5, 0.4], 0.01)
    assert (found.tpir, found.threshold, found.unmated, found.unmated_needed) == (None, None, 2, 100)
    assert open_set([], [], [0.5, 0.4], 0.5).tpir is None


@pytest.mark.parametrize("seed", range(3))
def test_ranks_by_sorting(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.random((30, 12))
    people = random.permutation(12)
    probes = random.integers(0, 15, size=30)
    rank, _ = ranks(scores, np.broadcast_to(people, scores.shape), probes)
    for row, probe, place in zip(scores, probes, rank, strict=True):
        order = people[np.argsort(-row)].tolist()
        assert place == (order.index(probe) + 1 if probe in order else NOWHERE)
