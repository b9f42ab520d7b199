"""Ranks, CMC and detection, worked by hand; pooling against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.maths.identification import cmc, detected, ranks
from cosface_cli.maths.pooling import pooled

# four mated searches, the three best of a gallery of four each
SCORES = [[0.9, 0.5, 0.1], [0.8, 0.8, 0.2], [0.7, 0.6, 0.5], [0.4, 0.3, 0.2]]
CANDIDATES = [[0, 1, 2], [2, 1, 0], [3, 0, 2], [1, 2, 3]]
OWN = [0, 1, 2, 0]


def test_worked_by_hand() -> None:
    found, own_scores = ranks(SCORES, CANDIDATES, OWN)
    assert found.tolist() == [1, 2, 3, 4], "a tie goes against the own person; who is not there comes behind all"
    assert own_scores.tolist() == [0.9, 0.8, 0.5, -np.inf]
    assert cmc(found, 4).tolist() == [0.25, 0.5, 0.75, 1.0]
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
