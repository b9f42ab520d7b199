"""The curve worked by hand, and against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from cosface_cli.maths.curve import roc


def test_ties_are_one_step():
    curve = roc([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.5, 0.1]
    assert curve.genuine.tolist() == [0, 1, 2, 2]
    assert curve.impostors.tolist() == [0, 0, 1, 2]
    assert curve.tar.tolist() == [0, 0.5, 1, 1]
    assert curve.far.tolist() == [0, 0, 0.5, 1]


def test_as_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    same = random.random(500) < 0.3
    scores = np.round(random.normal(same * 0.5, 0.4), 1)
    curve = roc(scores, same)
    far, tar, thresholds = metrics.roc_curve(same, scores, drop_intermediate=False)
    np.testing.assert_array_equal(curve.thresholds, thresholds)
    np.testing.assert_allclose(curve.far, far, rtol=1e-14)
    np.testing.assert_allclose(curve.tar, tar, rtol=1e-14)


@pytest.mark.parametrize(
    ("scores", "same", "why"),
    [([0.1, np.nan], [True, False], "finite"), ([0.1], [True], "genuine and"), ([], [], "genuine and")],
)
def test_no_curve(scores: list[float], same: list[bool], why: str):
    with pytest.raises(ValueError, match=why):
        roc(scores, same)
