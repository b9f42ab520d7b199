"""TAR at FAR and the equal error rate: worked by hand, by brute force and against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cosface_cli.maths.bootstrap import pair_draws
from cosface_cli.maths.curve import curve_of_counts, roc
from cosface_cli.maths.rates import allowed_accepts, equal_error, impostors_needed, tar_at_far
from cosface_cli.maths.roc import count_accepted, threshold_at_far

few = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 0.75, 1.0])  # ties everywhere
labelled = st.lists(st.tuples(st.one_of(few, st.floats(-1, 1)), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: len({truth for _, truth in pairs}) == 2
)


@settings(deadline=None)
@given(labelled, st.sampled_from([0.01, 0.1, 0.25, 1 / 3, 0.5, 1.0]))
def test_tar_at_far_is_the_best_of_all_thresholds(pairs: list[tuple[float, bool]], far: float):
    scores, same = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    found = tar_at_far(roc(scores, same), far)
    genuine, impostors = scores[same], scores[~same]
    if len(impostors) * far < 1 - 1e-9:
        assert found.tar is None and found.threshold is None and found.impostors_needed == math.ceil(1 / far - 1e-9)
        return
    every = [t for t in [*np.unique(scores), math.inf] if (impostors >= t).sum() <= far * len(impostors) + 1e-9]
    assert found.tar == max((genuine >= t).mean() for t in every)
    assert found.impostors_needed is None
    if found.threshold is not None:
        assert found.tar == (genuine >= found.threshold).mean()
        assert found.achieved_far == (impostors >= found.threshold).mean() <= far + 1e-9
    # the older way on the same scores: a threshold just above the next impostor
    threshold = threshold_at_far(impostors, far)
    if far == 1.0:  # there it stops at the lowest impostor
        return
    assert threshold is not None and found.tar == count_accepted(genuine, threshold)[0] / len(genuine)


def test_tar_at_far_by_hand():
    """Ten impostors, three of them tied at .8: at FAR .2 the ties cannot be parted, so one passes, not two."""
    impostors = [0.9, 0.8, 0.8, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    genuine = [0.95, 0.85, 0.8, 0.05]
    curve = roc(impostors + genuine, [False] * 10 + [True] * 4)
    found = tar_at_far(curve, 0.2)
    assert (found.tar, found.threshold, found.achieved_far) == (0.5, 0.85, 0.1)
    assert (found.low, found.high) == pytest.approx((stats.beta.ppf(0.025, 2, 3), stats.beta.ppf(0.975, 3, 2)))
    assert found.far_low == pytest.approx(1 - 0.975**0.1) and found.far_high == pytest.approx(0.4450161)
    assert (tar_at_far(curve, 0.4).tar, tar_at_far(curve, 0.4).threshold) == (0.75, 0.8)
    assert tar_at_far(curve, 1.0).tar == 1.0


def test_more_ties_than_may_pass():
    """Two tied impostors on top of every genuine pair: at FAR .5 of three, one may pass and none does."""
    found = tar_at_far(roc([0.9, 0.9, 0.1, 0.5], [False, False, False, True]), 0.5)
    assert (found.tar, found.threshold, found.achieved_far) == (0.0, None, 0.0)


def test_what_three_impostors_cannot_resolve():
    curve = roc([0.1, 0.2, 0.3, 0.9], [False, False, False, True])
    found = tar_at_far(curve, 1e-3)
    assert (found.tar, found.low, found.high, found.threshold, found.achieved_far) == (None,) * 5
    assert (found.impostors, found.impostors_needed) == (3, 1000)
    assert tar_at_far(curve, 1 / 3).achieved_far == pytest.approx(1 / 3)
    assert [impostors_needed(far) for far in (1.0, 0.3, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)] == [
        1, 4, 10, 100, 1000, 10_000, 100_000, 1_000_000
    ]  # fmt: skip


def test_a_pair_without_a_score_is_accepted_by_no_threshold():
    curve = roc([0.9, -np.inf, 0.1, -np.inf], [True, True, False, False])
    found = tar_at_far(curve, 1.0)
    assert (found.tar, found.genuine, found.impostors, found.threshold) == (0.5, 2, 2, 0.1)
    assert curve.accepted(-5.0) == (1, 1) and curve.accepted(0.5) == (1, 0) and curve.accepted(0.95) == (0, 0)


def test_equal_error_by_hand():
    # FAR and FRR at .6: one of four impostors passes, one of four genuine does not
    scores = [0.9, 0.8, 0.6, 0.2, 0.7, 0.5, 0.3, 0.1]
    found = equal_error(roc(scores, [True] * 4 + [False] * 4))
    assert (found.eer, found.far, found.frr, found.threshold) == (0.25, 0.25, 0.25, 0.6)
    # three genuine, two impostors: nowhere equal. (FAR, FRR) goes (0, 2/3), (1/2, 2/3), (1/2, 1/3), (1/2, 0), (1, 0)
    found = equal_error(roc([0.9, 0.7, 0.6, 0.8, 0.1], [True, True, True, False, False]))
    assert (found.far, found.frr) == (0.5, pytest.approx(1 / 3)) and found.eer == pytest.approx(5 / 12)
    perfect = equal_error(roc([0.9, 0.1], [True, False]))
    assert (perfect.eer, perfect.threshold) == (0.0, 0.9)


@settings(deadline=None)
@given(labelled)
def test_as_scikit_learn(pairs: list[tuple[float, bool]]):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, same = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    far, tar, _ = metrics.roc_curve(same, scores, drop_intermediate=False)
    curve = roc(scores, same)
    for wanted in (0.1, 0.5):
        found = tar_at_far(curve, wanted)
        if found.tar is not None:
            assert found.tar == pytest.approx(tar[far <= wanted + 1e-9].max())
    least = np.abs(far - (1 - tar)).min()
    eer = equal_error(curve)
    assert abs(eer.far - eer.frr) == pytest.approx(least, abs=1e-12)
    det = metrics.det_curve(same, scores)
    for false_accepts, false_rejects in zip(det[0], det[1], strict=True):
        nearest = np.flatnonzero(np.isclose(curve.far, false_accepts) & np.isclose(curve.frr, false_rejects))
        assert nearest.size >= 1


def test_a_histogram_is_a_curve():
    edges = np.array([-1, -0.5, 0.0, 0.5])
    curve = curve_of_counts(edges, [0, 1, 0, 3], [10_000_000_000, 2, 0, 1])
    assert curve.thresholds.tolist() == [np.inf, 0.5, -0.5, -1]
    assert curve.genuine.tolist() == [0, 3, 4, 4] and curve.impostors.tolist() == [0, 1, 3, 10_000_000_003]
    found = tar_at_far(curve, 1e-9)
    assert (found.tar, found.threshold, found.impostors) == (1.0, -0.5, 10_000_000_003)
    with pytest.raises(ValueError, match="genuine and"):
        curve_of_counts(edges, [0, 0, 0, 0], [1, 1, 1, 1])


@pytest.mark.parametrize(
    ("far", "impostors", "allowed"),
    # .29 of 3,000 and .07 of 100 are a little less than 870 and 7 in floating point; 1e-3 of 999 must not become 1
    ((0.29, 3000, 870), (0.07, 100, 7), (1e-3, 1000, 1), (1e-3, 999, 0), (1e-6, 10**12, 10**6), (1.0, 3, 3)),
)
def test_a_whole_number_of_accepts_is_not_lost_to_rounding(far: float, impostors: int, allowed: int):
    assert allowed_accepts(far, impostors) == allowed


def test_every_figure_at_a_far_counts_the_same_accepts():
    """3,000 impostors and 3,000 genuine pairs of the same scores: at FAR .29 exactly 870 of each are accepted."""
    scores = np.arange(3000) / 3000
    both, same = np.concatenate([scores, scores]), np.repeat([False, True], 3000)
    found = tar_at_far(roc(both, same), 0.29)
    assert found.tar == found.achieved_far == 870 / 3000
    threshold = threshold_at_far(scores, 0.29)
    assert threshold is not None and count_accepted(scores, threshold) == (870, 3000)
    one_person_each_way = np.zeros(6000, int), np.repeat([1, 0], 3000)
    draws = [tar for (tar,) in pair_draws(both, same, *one_person_each_way, [0.29], draws=8).tar]
    assert {tar for tar in draws if np.isfinite(tar)} == {870 / 3000}
