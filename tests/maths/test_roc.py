"""Thresholds and rates against a search over every threshold there is, and against cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.maths.roc import best_threshold, count_accepted, fold_accuracy, threshold_at_far

few = st.sampled_from([-1.0, -0.5, 0.0, 0.25, 0.5, 0.50001, 0.75, 1.0])  # ties everywhere
any_score = st.floats(-1, 1)
labelled = st.lists(st.tuples(st.one_of(few, any_score), st.booleans()), min_size=1, max_size=40)


def every_threshold(scores: np.ndarray) -> list[float]:
    """One threshold for each way to cut the scores in two."""
    return [*np.unique(scores), math.inf]


def right_at(scores: np.ndarray, same: np.ndarray, threshold: float) -> int:
    return sum((score >= threshold) == truth for score, truth in zip(scores, same, strict=True))


@settings(deadline=None)
@given(labelled)
def test_best_threshold_is_as_good_as_any(pairs: list[tuple[float, bool]]):
    scores, same = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    best = max(right_at(scores, same, t) for t in every_threshold(scores))
    assert right_at(scores, same, best_threshold(scores, same)) == best


def test_best_threshold_stands_in_the_middle_of_the_widest_gap():
    assert best_threshold([0.1, 0.2, 0.6, 0.7], [False, False, True, True]) == pytest.approx(0.4)
    # cuts between .2 and .3 and between .4 and 1 are equally good (3 of 4); the second gap is the wider
    assert best_threshold([0.2, 0.3, 0.4, 1.0], [False, True, False, True]) == pytest.approx(0.7)


def test_best_threshold_between_neighbouring_numbers():
    low = 0.5
    high = np.nextafter(low, 1)
    for scores in ([low, high], [-high, -low]):
        threshold = best_threshold(scores, [False, True])
        assert scores[0] < threshold <= scores[1]


def test_best_threshold_where_one_answer_fits_all():
    assert best_threshold([0.3, 0.4], [True, True]) <= 0.3
    assert best_threshold([0.3, 0.4], [False, False]) > 0.4
    assert best_threshold([5e12, 7e12], [False, False]) > 7e12
    with pytest.raises(ValueError, match="no pairs"):
        best_threshold([], [])


def test_folds_by_hand():
    """Each fold is judged at the middle of the other's gap."""
    scores = [0.4, 0.6, 0.45, 0.5, 0.2, 0.5, 0.3, 0.9]
    same = [False, True, False, True, False, True, False, True]
    fold = [1, 1, 1, 1, 2, 2, 2, 2]
    found = fold_accuracy(scores, same, fold)
    # fold 2 alone: impostors .2 .3, genuine .5 .9, middle of the gap .4; fold 1 alone: .4 .45 against .5 .6, .475
    assert found.thresholds == pytest.approx((0.4, 0.475))
    # fold 1 at .4: impostors .4 and .45 are accepted, both genuine too; fold 2 at .475: all right
    assert found.accuracies == (0.5, 1.0)
    assert found.mean == 0.75
    assert found.standard_error == pytest.approx(np.sqrt(0.125) / np.sqrt(2))


def test_a_pair_without_a_score_is_an_error_and_sets_no_threshold():
    scores = [0.1, 0.9, -1.0, 0.1, 0.9, -1.0]
    same = [False, True, False, False, True, True]
    fold = [1, 1, 1, 2, 2, 2]
    wrong = [False, False, True, False, False, True]
    found = fold_accuracy(scores, same, fold, wrong)
    assert found.thresholds == pytest.approx((0.5, 0.5))
    assert found.accuracies == pytest.approx((2 / 3, 2 / 3))


def test_a_perfect_threshold_on_the_own_fold_is_not_used():
    """Scores that a fold's own threshold would separate: judged by the other fold's, all are wrong."""
    scores = [0.8, 0.9, 0.1, 0.2]
    same = [False, True, False, True]
    assert fold_accuracy(scores, same, [1, 1, 2, 2]).mean == pytest.approx(0.5)


def test_one_fold_is_refused():
    with pytest.raises(ValueError, match="at least two folds"):
        fold_accuracy([0.1, 0.9], [False, True], [1, 1])


@settings(deadline=None)
@given(st.lists(st.tuples(st.one_of(few, any_score), st.booleans(), st.integers(1, 3)), min_size=8, max_size=40))
def test_fold_accuracy_by_brute_force(rows: list[tuple[float, bool, int]]):
    scores, same, fold = (np.array(column) for column in zip(*rows, strict=True))
    if len(set(fold)) < 2:
        return
    found = fold_accuracy(scores, same, fold)
    for name, accuracy, threshold in zip(np.unique(fold), found.accuracies, found.thresholds, strict=True):
        here = fold == name
        best = max(right_at(scores[~here], same[~here], t) for t in every_threshold(scores[~here]))
        assert right_at(scores[~here], same[~here], threshold) == best
        assert accuracy == pytest.approx(right_at(scores[here], same[here], threshold) / here.sum())


@settings(deadline=None)
@given(
    st.lists(st.one_of(few, any_score), min_size=1, max_size=60),
    st.sampled_from([1e-3, 0.01, 0.1, 0.25, 1 / 3, 0.5]),
)
def test_threshold_at_far_by_brute_force(impostors: list[float], far: float):
    scores = np.array(impostors)
    threshold = threshold_at_far(scores, far)
    if len(scores) * far < 1 - 1e-9:
        assert threshold is None
        return
    assert threshold is not None
    assert (scores >= threshold).sum() <= far * len(scores) + 1e-9
    # no lower threshold keeps to the rate: accepting the next group of ties is too much
    lower = scores[scores < threshold]
    if lower.size:
        assert (scores >= lower.max()).sum() > far * len(scores) - 1e-9


def test_tied_impostors_are_one_group():
    """Ten impostors: .9 .8 .8 .8 .1 ... At FAR .2 the three ties cannot be parted, so one passes, not two."""
    impostors = [0.9, 0.8, 0.8, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    threshold = threshold_at_far(impostors, 0.2)
    assert threshold is not None and count_accepted(impostors, threshold) == (1, 10)
    assert count_accepted([0.8, 0.85, 0.95], threshold) == (2, 3)
    threshold = threshold_at_far(impostors, 0.4)
    assert threshold is not None and count_accepted(impostors, threshold) == (4, 10)


def test_a_rate_that_the_impostors_cannot_resolve():
    three = [0.1, 0.2, 0.3]
    assert threshold_at_far(three, 1e-3) is None
    assert threshold_at_far(three, 0.33) is None
    assert threshold_at_far([], 0.5) is None
    third = threshold_at_far(three, 1 / 3)
    assert third is not None and count_accepted(three, third) == (1, 3)
    # 300 impostors: 1/300 is the finest step
    scores = np.linspace(0, 1, 300)
    assert threshold_at_far(scores, 1e-3) is None
    finest = threshold_at_far(scores, 1 / 300)
    assert finest is not None and count_accepted(scores, finest) == (1, 300)


@pytest.mark.parametrize("n", (1_000, 3_000, 10_000))
def test_a_rate_that_divides_evenly_is_not_lost_to_rounding(n: int):
    scores = np.arange(n) / n
    for far in (1e-3, 1e-2, 0.07, 0.29):
        threshold = threshold_at_far(scores, far)
        assert threshold is not None and count_accepted(scores, threshold)[0] == round(far * n)


def test_every_impostor_may_pass():
    scores = [0.5, 0.2, 0.7]
    assert count_accepted(scores, threshold_at_far(scores, 1.0) or 9.0) == (3, 3)
