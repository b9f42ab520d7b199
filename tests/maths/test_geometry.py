"""Similarities against scikit-image and exact recovery; templates against the numbers they were specified by."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import (
    TEMPLATES,
    Template,
    apply,
    are_degenerate,
    covers,
    growth,
    invert,
    similarity,
    template,
)

ARCFACE = [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
DLIB = [(45.99, 43.51), (104.09, 43.34), (74.58, 79.58), (48.65, 104.56), (100.87, 104.40)]
FACE = np.array(ARCFACE)

angles = st.floats(-math.pi, math.pi)
scales = st.floats(0.01, 100)
shifts = st.floats(-5000, 5000)


def turned(angle: float, scale: float, dx: float, dy: float) -> np.ndarray:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([[c, -s, dx], [s, c, dy]])


def test_templates_are_the_specified_numbers():
    assert set(TEMPLATES) == {"wide", "arcface", "sphereface", "dlib"}
    sizes = {name: (t.width, t.height) for name, t in TEMPLATES.items()}
    assert sizes == {"wide": (192, 192), "arcface": (112, 112), "sphereface": (96, 112), "dlib": (150, 150)}
    np.testing.assert_array_equal(TEMPLATES["arcface"].landmarks, ARCFACE)
    np.testing.assert_array_equal(TEMPLATES["dlib"].landmarks, DLIB)
    np.testing.assert_allclose(TEMPLATES["sphereface"].landmarks, np.array(ARCFACE) - np.array([8, 0]), atol=1e-12)
    np.testing.assert_allclose(TEMPLATES["wide"].landmarks, np.array(DLIB) + np.array([21, 42]), atol=1e-12)


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_show_an_upright_face_in_the_order_as_seen(name: str):
    left_eye, right_eye, nose, left_mouth, right_mouth = TEMPLATES[name].landmarks
    assert left_eye[0] < nose[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_unknown_template_names_the_near_miss():
    assert template("arcface") is TEMPLATES["arcface"]
    with pytest.raises(CosfaceError, match=r"'arcfac'.*did you mean 'arcface'"):
        template("arcfac")


@settings(deadline=None)
@given(angle=angles, scale=scales, dx=shifts, dy=shifts)
def test_a_similarity_is_recovered_exactly(angle: float, scale: float, dx: float, dy: float):
    true = turned(angle, scale, dx, dy)
    target = FACE @ true[:, :2].T + true[:, 2]
    found = similarity(FACE, target)
    np.testing.assert_allclose(found, true, rtol=1e-9, atol=1e-9 * (scale * 100 + abs(dx) + abs(dy)))
    assert growth(found) == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(apply(invert(found), target), FACE, atol=1e-6 * (1 + (abs(dx) + abs(dy)) / scale))


@settings(deadline=None)
@given(
    arrays(np.float64, (5, 2), elements=st.floats(-1000, 1000)),
    arrays(np.float64, (5, 2), elements=st.floats(0, 200)),
)
def test_noisy_points_as_scikit_image_fits_them(source: np.ndarray, target: np.ndarray):
    """Umeyama's closed form there is a singular value decomposition, ours is a quotient of complex numbers."""
    transform = pytest.importorskip("skimage.transform")
    spread = np.linalg.svd(source - source.mean(axis=0), compute_uv=False)
    mixed = (source - source.mean(axis=0)).T @ (target - target.mean(axis=0))
    proper = np.hypot(mixed[0, 0] + mixed[1, 1], mixed[0, 1] - mixed[1, 0])
    if spread[1] < 1 or np.linalg.svd(mixed, compute_uv=False)[1] < 1e-3 or proper < 1:
        return  # theirs gives up on lines, and the best turn is not unique where there is no proper part
    theirs = transform.SimilarityTransform.from_estimate(source, target)
    np.testing.assert_allclose(similarity(source, target), theirs.params[:2], rtol=1e-6, atol=1e-6)


@settings(deadline=None)
@given(arrays(np.float64, (5, 2), elements=st.floats(-100, 100)), angles, st.floats(0.5, 2), st.floats(-9, 9))
def test_no_other_similarity_fits_better(source: np.ndarray, angle: float, factor: float, shift: float):
    if np.ptp(source, axis=0).max() < 1e-3:
        return
    best = similarity(source, FACE)
    other = np.hstack([best[:, :2] @ turned(angle, factor, 0, 0)[:, :2], best[:, 2:] + shift])
    ours, theirs = (float(((apply(m, source) - FACE) ** 2).sum()) for m in (best, other))
    assert ours <= theirs * (1 + 1e-9) + 1e-9


@settings(deadline=None)
@given(angle=angles, scale=scales, dx=shifts, dy=shifts)
def test_mirrored_points_give_no_mirror(angle: float, scale: float, dx: float, dy: float):
    true = turned(angle, scale, dx, dy)
    mirrored = (FACE * [-1, 1]) @ true[:, :2].T + true[:, 2]
    found = similarity(mirrored, FACE)
    assert np.linalg.det(found[:, :2]) >= 0
    np.testing.assert_allclose([found[0, 0], found[0, 1]], [found[1, 1], -found[1, 0]])


def test_the_worked_quarter_turn():
    """(x, y) to (10 - 2y, 20 + 2x): twice as large, a quarter turn, moved."""
    source = [(0, 0), (1, 0), (0, 1)]
    np.testing.assert_allclose(similarity(source, [(10, 20), (10, 22), (8, 20)]), [[0, -2, 10], [2, 0, 20]], atol=1e-12)


def test_coincident_points_are_refused():
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.full((5, 2), 7.0), FACE)
    with pytest.raises(ValueError, match="coincide"):
        similarity(np.full((5, 2), np.nan), FACE)


@pytest.mark.parametrize(
    "points",
    (
        np.full((5, 2), 50.0),
        np.full((5, 2), 50.0) + np.linspace(0, 0.1, 10).reshape(5, 2),
        [(x, 3 * x + 1) for x in (0, 10, 20, 30, 40)],
        [(x, 7) for x in (0, 10, 20, 30, 40)],
        [(x, 7 + 0.01 * x * x / 40) for x in (0, 10, 20, 30, 40)],
        [*ARCFACE[:4], (math.nan, 1)],
        [*ARCFACE[:4], (math.inf, 1)],
    ),
    ids=("one point", "nearly one", "line", "level", "almost a line", "nan", "inf"),
)
def test_points_that_fit_no_face_are_degenerate(points: object):
    assert are_degenerate(points)


@settings(deadline=None)
@given(angle=angles, scale=st.floats(0.1, 100), dx=shifts, dy=shifts)
def test_a_face_is_not_degenerate_however_it_is_turned(angle: float, scale: float, dx: float, dy: float):
    assert not are_degenerate(apply(turned(angle, scale, dx, dy), FACE))


def test_what_covers_what():
    wide, arcface, sphereface, dlib = (TEMPLATES[n] for n in ("wide", "arcface", "sphereface", "dlib"))
    assert all(covers(wide, need) for need in TEMPLATES.values())
    assert all(covers(same, same) for same in TEMPLATES.values())
    assert covers(arcface, sphereface) and not covers(sphereface, arcface)
    assert not covers(dlib, arcface) and not covers(dlib, wide)
    assert not covers(arcface, dlib) and not covers(arcface, wide)


def test_covers_counts_pixels_on_each_side():
    have = Template("have", 100, 100, ((30, 30), (70, 30), (50, 50), (35, 70), (65, 70)))
    for dx, dy in ((3, 0), (-3, 0), (0, 3), (0, -3)):
        moved = Template("need", 100, 100, tuple((x + dx, y + dy) for x, y in have.points))
        assert not covers(have, moved) and covers(have, moved, slack=3.01)
