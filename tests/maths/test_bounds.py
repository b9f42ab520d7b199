"""The bounds against the paper's own numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosface_cli.maths.bounds import loss_at_right_angles, margin_upper_bound, scale_lower_bound


@pytest.mark.parametrize(("probability", "s"), ((0.9, 11.46), (0.99, 13.86), (0.999, 16.17)))
def test_scale_for_the_paper_s_10575_identities(probability: float, s: float):
    assert scale_lower_bound(10_575, probability) == pytest.approx(s, abs=0.005)


@given(identities=st.integers(2, 10_000), probability=st.floats(0.01, 0.999))
def test_at_the_bound_a_class_centre_reaches_the_probability(identities: int, probability: float):
    """The derivation of Eq. 6: centres spread evenly have cosines -1 / (C - 1)."""
    s = scale_lower_bound(identities, probability)
    others = identities - 1
    log_reached = -math.log1p(others * math.exp(-s * (1 + 1 / others)))
    assert math.exp(log_reached) == pytest.approx(probability, rel=1e-9)


def test_margin_of_figure_4():
    assert margin_upper_bound(8, 2) == pytest.approx(1 - math.cos(math.pi / 4))
    assert margin_upper_bound(8, 2) == pytest.approx(0.293, abs=5e-4)


@pytest.mark.parametrize(("identities", "size"), ((2, 2), (3, 2), (2, 8), (4, 3), (5, 8)))
def test_margin_is_one_less_the_cosine_of_a_simplex(identities: int, size: int):
    corners = np.eye(identities) - 1 / identities
    corners /= np.linalg.norm(corners, axis=1, keepdims=True)
    assert margin_upper_bound(identities, size) == pytest.approx(1 - corners[0] @ corners[1])


def test_margin_of_many_identities():
    assert margin_upper_bound(10_575, 512) == 10_575 / 10_574


def test_loss_at_right_angles():
    assert loss_at_right_angles(60, 64.0, 0.35) == pytest.approx(math.log(59) + 22.4, abs=1e-9)
    assert loss_at_right_angles(60, 0.0, 0.0) == pytest.approx(math.log(60))
    assert loss_at_right_angles(3, 2.0, 0.1) == pytest.approx(math.log(1 + 2 * math.exp(0.2)))
    assert math.isfinite(loss_at_right_angles(10_000, 1e6, 1.0))


def test_what_has_no_bound_is_refused():
    for call in (
        lambda: scale_lower_bound(1, 0.9),
        lambda: scale_lower_bound(10, 1.0),
        lambda: scale_lower_bound(10, 0.0),
        lambda: margin_upper_bound(1, 512),
        lambda: margin_upper_bound(10, 1),
        lambda: loss_at_right_angles(1, 64.0, 0.35),
    ):
        with pytest.raises(ValueError, match=r".+"):
            call()
