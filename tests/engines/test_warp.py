"""Warps by where they put what: dots at landmarks come to lie on the template's points."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from cosface_cli.artifacts.pictures import decode_file
from cosface_cli.engines.photos.warp import crop_face, needed_scale, recrop, require_cover
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import TEMPLATES, Template, apply, are_degenerate, similarity

NAMES = tuple(TEMPLATES)


def placed(template: Template, angle: float, scale: float, centre: tuple[float, float]) -> np.ndarray:
    """The template's landmarks turned, enlarged, and moved so that their mean is at centre."""
    points = template.landmarks - template.landmarks.mean(axis=0)
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return points @ np.array([[c, s], [-s, c]]) + centre


def dotted(height: int, width: int, points: np.ndarray, radius: float) -> np.ndarray:
    """A black picture with a soft white dot, a Gaussian, at each point; pixel centres are whole numbers."""
    image = np.zeros((height, width), np.float32)
    reach = int(5 * radius)
    for px, py in points:
        left, top = max(int(px) - reach, 0), max(int(py) - reach, 0)
        part = image[top : int(py) + reach, left : int(px) + reach]
        y, x = np.mgrid[: part.shape[0], : part.shape[1]]
        part += np.exp(-((x + left - px) ** 2 + (y + top - py) ** 2) / (2 * radius**2))
    return np.repeat(np.clip(255 * image, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def centroid(image: np.ndarray, near: np.ndarray, reach: int) -> np.ndarray:
    """The centre of brightness round a point."""
    left, top = np.maximum(np.round(near).astype(int) - reach, 0)
    part = image[top : top + 2 * reach + 1, left : left + 2 * reach + 1, 0].astype(np.float64)
    y, x = np.mgrid[: part.shape[0], : part.shape[1]]
    return np.array([(x * part).sum(), (y * part).sum()]) / part.sum() + (left, top)


@pytest.mark.parametrize("angle", (0.0, 0.4, -1.2, math.pi / 2, 3.0))
@pytest.mark.parametrize("scale", (0.6, 1.0, 1.9, 2.5, 4.0, 7.3))
@pytest.mark.parametrize("name", NAMES)
def test_landmarks_come_to_lie_on_the_template(name: str, scale: float, angle: float):
    """From 2.0 on the picture is averaged first: no half pixel may be lost there."""
    template = TEMPLATES[name]
    side = int(scale * 260)
    points = placed(template, angle, scale, (side * 0.52, side * 0.48))
    crop = crop_face(dotted(side, side, points, 2.0 * scale), points, template)
    assert crop.shape == (template.height, template.width, 3) and crop.dtype == np.uint8
    for want in template.landmarks:
        np.testing.assert_allclose(centroid(crop, want, 7), want, atol=0.06)


def test_a_face_at_the_corner_of_a_large_photo():
    """The averaged part is cut from the photo: its own offset counts."""
    template = TEMPLATES["arcface"]
    points = placed(template, 0.2, 5.0, (1420.0, 1130.0))
    crop = crop_face(dotted(1500, 1800, points, 10.0), points, template)
    for want in template.landmarks:
        np.testing.assert_allclose(centroid(crop, want, 7), want, atol=0.06)


def test_what_lies_outside_the_photo_is_black_and_the_rest_untouched():
    template = TEMPLATES["dlib"]
    for scale in (1.0, 5.0):
        points = template.landmarks * scale - [40 * scale, 0]  # 40 template pixels hang over the left edge
        crop = crop_face(np.full((int(200 * scale), int(200 * scale), 3), 77, np.uint8), points, template)
        assert (crop[:, :38] == 0).all() and (crop[1:, 42:] == 77).all()


def test_an_upright_face_at_its_template_is_copied():
    image = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    template = TEMPLATES["dlib"]
    crop = crop_face(image, template.landmarks + np.array([31, 57]), template)
    np.testing.assert_array_equal(crop, image[57:207, 31:181])


def test_large_pictures_are_averaged_not_sampled():
    """A checkerboard of single pixels is grey from afar; sampling would give stripes."""
    y, x = np.mgrid[:1200, :1200]
    board = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[:, :, None], 3, axis=2)
    template = TEMPLATES["arcface"]
    for scale in (4.0, 5.5, 8.0):
        crop = crop_face(board, placed(template, 0.3, scale, (600, 600)), template)
        assert np.abs(crop[20:-20, 20:-20].astype(int) - 127).max() < 40


@settings(deadline=None, max_examples=200)
@given(arrays(np.float64, (5, 2), elements=st.floats(-300, 900)), st.sampled_from(NAMES))
def test_any_landmarks_give_a_crop_or_are_degenerate(points: np.ndarray, name: str):
    if are_degenerate(points):
        return
    crop = crop_face(np.full((480, 640, 3), 9, np.uint8), points, TEMPLATES[name])
    assert crop.shape == (TEMPLATES[name].height, TEMPLATES[name].width, 3)


@pytest.mark.parametrize("name", NAMES)
def test_landmarks_that_fit_only_a_mirror_give_a_crop(name: str):
    """The best turn of a mirrored face can be any, and its growth nearly nothing."""
    template = TEMPLATES[name]
    mirrored = template.landmarks * [-1, 1] + [500, 100]
    isotropic = np.array([(-1, -1), (1, -1), (0, 0), (-1, 1), (1, 1)]) * 40.0 + 200
    for points in (mirrored, isotropic * [-1, 1] + [700, 0]):
        crop = crop_face(np.full((700, 700, 3), 9, np.uint8), points, template)
        assert crop.shape == (template.height, template.width, 3)


def test_needed_scale():
    template = TEMPLATES["arcface"]
    assert needed_scale(placed(template, 1.0, 4.0, (0, 0)), template) == pytest.approx(0.25)
    assert needed_scale(placed(template, 1.0, 0.5, (9, 9)), template) == pytest.approx(2.0)


def test_the_same_template_is_the_same_crop():
    crop = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    assert recrop(crop, TEMPLATES["arcface"], TEMPLATES["arcface"], TEMPLATES["arcface"].landmarks) is crop


def test_shifted_templates_are_cut_out_whole_pixels():
    noise = np.random.default_rng(0).integers(0, 256, (192, 192, 3), dtype=np.uint8)
    cut = recrop(noise, TEMPLATES["wide"], TEMPLATES["dlib"])
    np.testing.assert_array_equal(cut, noise[42:192, 21:171])
    assert cut.flags.c_contiguous
    crop = noise[:112, :112]
    np.testing.assert_array_equal(recrop(crop, TEMPLATES["arcface"], TEMPLATES["sphereface"]), crop[:, 8:104])


def test_a_window_larger_than_the_crop_is_not_cut_from_it():
    """sphereface to arcface is a whole-pixel shift too, but 8 columns are missing on either side."""
    crop = np.full((112, 96, 3), 50, np.uint8)
    grown = recrop(crop, TEMPLATES["sphereface"], TEMPLATES["arcface"])
    assert grown.shape == (112, 112, 3)
    assert (grown[:, 8:104] == 50).all() and not grown[:, :7].any() and not grown[:, 105:].any()


def test_a_fraction_of_a_pixel_is_no_whole_pixel_cut():
    have = TEMPLATES["wide"]
    moved = Template("moved", 150, 150, tuple((x - 21.5, y - 42) for x, y in have.points))
    points = have.landmarks
    crop = recrop(dotted(192, 192, points, 2.0), have, moved)
    for want in moved.landmarks:
        np.testing.assert_allclose(centroid(crop, want, 7), want, atol=0.06)


@pytest.fixture(scope="module")
def hanks(packaged_photos: Path) -> tuple[np.ndarray, np.ndarray]:
    """A real face, and landmarks set by eye to a pixel or two, which is as good as a detector's."""
    image = decode_file(packaged_photos / "Tom_Hanks_54745.png")
    scale = image.shape[0] / 112
    return image, np.array([(39, 52), (73, 51.5), (56, 73), (43, 91), (70, 91.5)]) * scale


def turned_photo(image: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face inside a larger photo, turned by 20 degrees and three times as large."""
    size = 3 * max(image.shape[:2])
    c, s = 2.5 * math.cos(0.35), 2.5 * math.sin(0.35)
    forward = np.array([[c, -s, size * 0.32], [s, c, size * 0.06]])
    back = np.linalg.inv(np.vstack([forward, [0, 0, 1]]))
    how = (Image.Transform.AFFINE, back[:2].ravel(), Image.Resampling.BICUBIC)
    return np.array(Image.fromarray(image).transform((size, size), *how)), apply(forward, points + 0.5) - 0.5


def test_wide_to_dlib_equals_aligning_from_the_photo(hanks: tuple[np.ndarray, np.ndarray]):
    photo, points = turned_photo(*hanks)
    wide = crop_face(photo, points, TEMPLATES["wide"])
    own = apply(similarity(points, TEMPLATES["wide"].landmarks), points)
    direct = crop_face(photo, points, TEMPLATES["dlib"])
    cut = recrop(wide, TEMPLATES["wide"], TEMPLATES["dlib"], own)
    assert np.abs(cut.astype(int) - direct).max() <= 2 and np.abs(cut.astype(int) - direct).mean() < 0.05


@pytest.mark.parametrize("name", ("arcface", "sphereface"))
def test_wide_to_others_with_the_face_s_own_landmarks_is_close(name: str, hanks: tuple[np.ndarray, np.ndarray]):
    photo, points = turned_photo(*hanks)
    wide, need = TEMPLATES["wide"], TEMPLATES[name]
    crop = crop_face(photo, points, wide)
    own = apply(similarity(points, wide.landmarks), points)
    direct = crop_face(photo, points, need).astype(int)
    again = recrop(crop, wide, need, own)
    assert np.abs(again - direct).mean() < 2
    # without them the template's points stand for the face's: another, slightly shifted geometry
    assert np.abs(recrop(crop, wide, need) - direct).mean() > np.abs(again - direct).mean()
    # and nothing here is blind: a shift by one pixel shows
    assert np.abs(np.roll(again, 1, axis=1) - direct).mean() > 2 * np.abs(again - direct).mean()


def test_a_template_that_does_not_cover_names_the_flag():
    require_cover(TEMPLATES["wide"], TEMPLATES["arcface"], "crops")
    with pytest.raises(CosfaceError, match=r"crops: .*'dlib'.*'arcface'.*--template wide or --template arcface"):
        require_cover(TEMPLATES["dlib"], TEMPLATES["arcface"], Path("crops"))
