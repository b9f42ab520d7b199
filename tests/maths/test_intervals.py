"""The exact binomial interval against the beta distribution, its definition, and printed tables."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cosface_cli.maths.intervals import clopper_pearson


@settings(deadline=None)
@given(trials=st.integers(1, 5000), share=st.floats(0, 1), confidence=st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_ends_are_beta_quantiles(trials: int, share: float, confidence: float):
    hits = round(share * trials)
    low, high = clopper_pearson(hits, trials, confidence)
    tail = (1 - confidence) / 2
    assert low == pytest.approx(stats.beta.ppf(tail, hits, trials - hits + 1) if hits else 0.0, abs=1e-10)
    assert high == pytest.approx(stats.beta.ppf(1 - tail, hits + 1, trials - hits) if hits < trials else 1.0, abs=1e-10)
    assert 0 <= low <= hits / trials <= high <= 1


@settings(deadline=None)
@given(trials=st.integers(1, 300), share=st.floats(0, 1))
def test_at_its_ends_the_tails_hold_what_is_left(trials: int, share: float):
    """The definition: at the lower end P(X >= hits) is 2.5 %, at the upper one P(X <= hits)."""
    hits = round(share * trials)
    low, high = clopper_pearson(hits, trials)
    if hits:
        assert stats.binom.sf(hits - 1, trials, low) == pytest.approx(0.025, rel=1e-6)
    if hits < trials:
        assert stats.binom.cdf(hits, trials, high) == pytest.approx(0.025, rel=1e-6)


def test_closed_forms_and_printed_values():
    assert clopper_pearson(0, 10) == pytest.approx((0, 1 - 0.025**0.1))
    assert clopper_pearson(10, 10) == pytest.approx((0.025**0.1, 1))
    assert clopper_pearson(1, 1) == pytest.approx((0.025, 1))
    # Agresti and Coull 1998 and common tables: 5 of 10 is .187 to .813, 1 of 20 is .001 to .249
    assert clopper_pearson(5, 10) == pytest.approx((0.1871, 0.8129), abs=5e-5)
    assert clopper_pearson(1, 20) == pytest.approx((0.0013, 0.2487), abs=5e-5)
    # the rule of three, with one tail of 5 %
    assert clopper_pearson(0, 300, 0.9)[1] == pytest.approx(3 / 300, rel=0.01)


@pytest.mark.parametrize(("hits", "trials"), ((-1, 5), (6, 5), (0, 0), (1, -1)))
def test_what_is_no_rate_is_refused(hits: int, trials: int):
    with pytest.raises(ValueError, match="hits must be in"):
        clopper_pearson(hits, trials)
