"""The identity bootstrap against pairs written out as often as they were drawn, and against known spreads."""

from __future__ import annotations

import numpy as np
import pytest

from cosface_cli.maths.bootstrap import identity_draws, percentile_interval, share_draws, tar_draws
from cosface_cli.maths.curve import roc
from cosface_cli.maths.rates import tar_at_far


def test_each_draw_is_the_pairs_written_out():
    """A pair stands as often as drawn in a list; its TAR at FAR is then that of the list."""
    random = np.random.default_rng(1)
    people, rows = 8, 400
    left = random.integers(people, size=rows)
    right = np.where(random.random(rows) < 0.4, left, random.integers(people, size=rows))
    same = left == right
    scores = np.round(random.normal(same * 0.6, 0.4), 1)  # ties everywhere
    scores[3], scores[7] = -np.inf, -np.inf
    fars = (0.01, 0.1, 0.5, 1.0)
    found = tar_draws(scores, same, left, right, fars, draws=20, seed=5)
    for row, weight in zip(found, identity_draws(people, 20, 5), strict=True):
        assert weight.sum() == people
        times = np.where(same, weight[left], weight[left] * weight[right])
        curve = roc(np.repeat(scores, times), np.repeat(same, times))
        for far, tar in zip(fars, row, strict=True):
            expected = tar_at_far(curve, far)
            if expected.tar is not None:
                assert tar == pytest.approx(expected.tar)


def test_the_same_seed_gives_the_same_draws():
    arguments = ([0.9, 0.4, 0.6, 0.1], [True, True, False, False], [0, 1, 0, 1], [0, 1, 1, 2], [0.5])
    a, b = tar_draws(*arguments, draws=30, seed=3), tar_draws(*arguments, draws=30, seed=3)
    np.testing.assert_array_equal(a, b)


def test_people_who_are_all_alike_give_a_wide_interval():
    """50 people, each with 20 genuine pairs that all agree: no more is known than of 50 pairs (a binomial of 50)."""
    random = np.random.default_rng(0)
    good = (random.random(50) < 0.8) * 20
    low, high = percentile_interval(share_draws(good, np.full(50, 20), draws=4000)) or (0, 0)
    share = good.sum() / 1000
    spread = 1.96 * np.sqrt(share * (1 - share) / 50)
    assert high - low == pytest.approx(2 * spread, rel=0.12)
    assert low < share < high


def test_intervals_are_quantiles_and_none_where_draws_give_nothing():
    assert percentile_interval(np.arange(1001) / 1000) == pytest.approx((0.025, 0.975))
    assert percentile_interval(np.array([0.5] * 8 + [np.nan] * 2)) is None
    assert percentile_interval(np.full(3, np.nan)) is None
    # one person alone has no impostors: nothing can be said
    found = tar_draws([0.9, 0.4], [True, False], [0, 0], [0, 1], [0.5], draws=200)
    assert 0.3 < np.isnan(found).mean() < 0.9
