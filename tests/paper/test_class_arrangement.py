"""Classes on the circle, with angles chosen by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cosface_cli.paper.figures.class_arrangement import arrangement_of, nearest_in_angle


def at(degrees: list[float], lengths: float | np.ndarray = 1.0) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.reshape(lengths, (-1, 1))


def test_four_classes_a_quarter_apart():
    offsets, labels = np.tile([-10.0, 0.0, 10.0], 4), np.repeat(np.arange(4), 3)
    angles = np.repeat([0.0, 90.0, 180.0, 270.0], 3) + offsets  # the third lies about -180
    arrangement = arrangement_of(at(list(angles), np.linspace(0.5, 3, 12)), labels)
    assert np.allclose(np.linalg.norm(arrangement.circle, axis=1), 1, atol=1e-12)
    assert arrangement.mean_angle == pytest.approx(20 / 3)
    assert arrangement.max_cosine == pytest.approx(0, abs=1e-12)
    # the 5th percentile of -10, 0, 10 is -9
    assert arrangement.gaps == pytest.approx([72.0] * 4)
    assert np.cos(np.radians(arrangement.centres - [0, 90, 180, 270])) == pytest.approx(1)


def test_classes_that_overlap_have_a_negative_gap():
    arrangement = arrangement_of(at([0, 20, 10, 30, 180, 180]), np.array([0, 0, 1, 1, 2, 2]))
    assert arrangement.max_cosine == pytest.approx(np.cos(np.radians(10)))
    # edges: 1..19, 11..29, 180
    assert sorted(arrangement.gaps) == pytest.approx([-8, 151, 181])


def test_a_feature_without_direction():
    for broken in (0.0, np.nan):
        with pytest.raises(ValueError, match="zero or not finite"):
            arrangement_of(np.array([[1.0, 0.0], [broken, broken]]), np.array([0, 1]))


def test_nearest_in_angle_whatever_the_lengths():
    weights = at([0, 90], np.array([5.0, 0.1]))
    assert nearest_in_angle(at([40, 50, -100]), weights).tolist() == [0, 1, 0]
