"""A linear map against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ortho_group

from cosface_cli.maths.linear_map import mapped, rank1, ridge


def units(count: int, size: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, size))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_rotation_is_found() -> None:
    x, turn = units(500, 16), ortho_group.rvs(16, random_state=1)
    matrix = ridge(x, x @ turn, 1e-9)
    np.testing.assert_allclose(matrix, turn, atol=1e-5)
    np.testing.assert_allclose(mapped(units(50, 16, 2), matrix), units(50, 16, 2) @ turn, atol=1e-5)


def test_as_least_squares_with_rows_for_the_ridge() -> None:
    x, y = units(80, 6), units(80, 9, seed=4)
    strength = 0.03
    rows = np.sqrt(strength * len(x)) * np.eye(6)
    want, *_ = np.linalg.lstsq(np.vstack([x, rows]), np.vstack([y, np.zeros((6, 9))]), rcond=None)
    np.testing.assert_allclose(ridge(x, y, strength), want, atol=1e-12)


def test_mapped_vectors_are_of_unit_length() -> None:
    found = mapped(units(30, 6), ridge(units(80, 6), units(80, 9, seed=4), 0.1))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert found.dtype == np.float32
    with pytest.raises(ValueError, match="zero"):
        mapped(units(3, 6), np.zeros((6, 9)))


def test_rank_one_by_hand() -> None:
    """Two faces of person 0 side by side, two of 1 far apart with a stranger in between."""
    angles = np.array([0, 10, 90, 170, 95]) * np.pi / 180
    faces = np.stack([np.cos(angles), np.sin(angles)], 1)
    people = np.array([0, 0, 1, 1, 2])
    assert rank1(faces, faces, people) == 0.5
    assert rank1(faces[:2], faces[:2], people[:2]) == 1.0
    assert rank1(faces, faces, np.arange(5)) is None
