"""Yaw and roll by hand, by projecting a head, and under mirrors and turns."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosface_cli.maths.geometry import TEMPLATES
from cosface_cli.maths.pose import roll, yaw

FRONTAL = np.array([[-10, 0], [10, 0], [0, 12], [-8, 24], [8, 24]], np.float64)
MIRRORED = [1, 0, 2, 4, 3]  # left and right change places


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Clockwise as seen: x to the right, y down."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return points @ np.array([[c, s], [-s, c]])


def test_a_symmetric_face_looks_straight() -> None:
    assert yaw(FRONTAL) == 0.0 and roll(FRONTAL) == 0.0
    for template in TEMPLATES.values():
        assert abs(yaw(template.landmarks)) < 2 and abs(roll(template.landmarks)) < 1


def test_by_hand() -> None:
    over_the_right_eye = FRONTAL + np.array([[0, 0], [0, 0], [10, 0], [0, 0], [0, 0]])
    assert yaw(over_the_right_eye) == pytest.approx(45)
    half_way = FRONTAL - np.array([[0, 0], [0, 0], [5, 0], [0, 0], [0, 0]])
    assert yaw(half_way) == pytest.approx(-26.565051177)  # -atan(1 / 2)
    assert roll([[0, 0], [10, 10], [5, 12], [0, 20], [5, 25]]) == pytest.approx(45)
    assert roll([[0, 0], [0, -3], [9, 9], [9, 9], [9, 9]]) == pytest.approx(-90)


@pytest.mark.parametrize("degrees", [-60, -20, 0, 10, 45, 80])
def test_a_head_of_the_assumed_shape(degrees: float) -> None:
    """Eyes 1 from the middle, the nose 1 before them, seen from afar."""
    angle = np.radians(degrees)
    head = np.array([[-1, 0, 0], [1, 0, 0], [0, 0.8, 1], [-0.7, 1.6, 0.4], [0.7, 1.6, 0.4]])  # x, y, towards the camera
    seen = np.stack([head[:, 0] * np.cos(angle) + head[:, 2] * np.sin(angle), head[:, 1]], axis=1)
    assert yaw(seen * 37 + 100) == pytest.approx(degrees, abs=1e-9)


POINT = st.tuples(*[st.floats(-500, 500)] * 2)


@given(st.lists(POINT, min_size=5, max_size=5).map(np.array), st.floats(0.5, 3), st.floats(-170, 170))
def test_mirrors_turns_and_sizes(points: np.ndarray, grow: float, degrees: float) -> None:
    if np.hypot(*(points[1] - points[0])) < 1:
        return
    mirrored = points[MIRRORED] * [-1, 1]
    assert yaw(mirrored) == pytest.approx(-yaw(points), abs=1e-6)
    assert np.cos(np.radians(roll(mirrored) + roll(points))) == pytest.approx(1)
    moved = turned(points * grow, degrees) + np.array([31, -7])
    assert yaw(moved) == pytest.approx(yaw(points), abs=1e-6)
    assert np.cos(np.radians(roll(moved) - roll(points) - degrees)) == pytest.approx(1)


def test_eyes_in_one_place_turn_nothing() -> None:
    assert yaw(np.zeros((5, 2))) == 0.0 and roll(np.zeros((5, 2))) == 0.0
