"""The identity bootstrap against pairs written out as often as they were drawn, and against known spreads."""

from __future__ import annotations

import numpy as np
import pytest

from cosface_cli.maths.bootstrap import (
    TruncatedPairs,
    identity_draws,
    pair_draws,
    pairs_between,
    percentile_interval,
    share_draws,
)
from cosface_cli.maths.curve import roc
from cosface_cli.maths.rates import equal_error, tar_at_far


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
    found = pair_draws(scores, same, left, right, fars, draws=20, seed=5)
    for row, eer, weight in zip(found.tar, found.eer, identity_draws(people, 20, 5), strict=True):
        assert weight.sum() == people
        times = np.where(same, weight[left], weight[left] * weight[right])
        curve = roc(np.repeat(scores, times), np.repeat(same, times))
        assert eer == pytest.approx(equal_error(curve).eer)
        for far, tar in zip(fars, row, strict=True):
            expected = tar_at_far(curve, far)
            if expected.tar is not None:
                assert tar == pytest.approx(expected.tar)


def test_the_same_seed_gives_the_same_draws():
    arguments = ([0.9, 0.4, 0.6, 0.1], [True, True, False, False], [0, 1, 0, 1], [0, 1, 1, 2], [0.5])
    a, b = pair_draws(*arguments, draws=30, seed=3), pair_draws(*arguments, draws=30, seed=3)
    np.testing.assert_array_equal(a.tar, b.tar)
    np.testing.assert_array_equal(a.eer, b.eer)


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
    found = pair_draws([0.9, 0.4], [True, False], [0, 0], [0, 1], [0.5], draws=200)
    assert 0.3 < np.isnan(found.tar).mean() < 0.9 and np.isnan(found.eer).tolist() == np.isnan(found.tar[:, 0]).tolist()


def test_the_lowest_impostors_need_not_be_listed():
    """All pairs of some faces, and the same without all but the highest impostors: what both can tell is equal."""
    random = np.random.default_rng(4)
    who = np.repeat(np.arange(12), 4)
    one, other = np.triu_indices(who.size, 1)
    same = who[one] == who[other]
    scores = np.round(random.normal(same * 0.5, 0.2), 2)
    fars = (0.01, 0.05, 0.5)
    whole = pair_draws(scores, same, who[one], who[other], fars, draws=40)
    high = same | (scores >= np.sort(scores[~same])[-300])
    part = pair_draws(
        scores[high],
        same[high],
        who[one][high],
        who[other][high],
        fars,
        draws=40,
        truncated=TruncatedPairs(12, lambda w: pairs_between(w * 4)),
    )
    np.testing.assert_array_equal(part.tar[:, :2], whole.tar[:, :2])
    assert np.isnan(part.tar[:, 2]).all() and not np.isnan(whole.tar).any()
    np.testing.assert_allclose(part.eer, whole.eer, rtol=1e-12)
