"""What augmentation does to pixels, against numpy, SciPy and Pillow; and how often."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from cosface_cli.errors import CosfaceError
from cosface_cli.train.crops import AUGMENTATIONS
from cosface_cli.train.crops.augment import FLIP, MIRRORED, augmentation

CHOICES = tuple(AUGMENTATIONS.names)
CHANGES = {"flip": FLIP, **{name: AUGMENTATIONS.load(name) for name in CHOICES}}
LUMA = (0.299, 0.587, 0.114)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """Smooth shapes with some texture, as faces have."""
    draw = np.random.default_rng(7)
    rough = ndimage.gaussian_filter(draw.normal(0, 1, (112, 96, 3)), (6, 6, 0))
    return np.clip(128 + 60 * rough / rough.std() + draw.normal(0, 4, rough.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_a_function_of_image_and_draws(name: str, face: np.ndarray):
    before = face.copy()
    seen = [CHANGES[name].change(face, np.random.default_rng(3)) for _ in range(2)]
    assert np.array_equal(face, before)
    assert np.array_equal(*seen)
    assert seen[0].shape == face.shape and seen[0].dtype == np.uint8
    assert not np.array_equal(seen[0], face)
    assert CHANGES[name].name == name and 0 < CHANGES[name].chance <= 1


def test_flip_is_left_for_right(face: np.ndarray):
    assert np.array_equal(CHANGES["flip"].change(face, np.random.default_rng(0)), np.fliplr(face))


def test_crop_moves_by_up_to_four_pixels_each_way(face: np.ndarray):
    room = np.pad(face, ((4, 4), (4, 4), (0, 0)), mode="edge")
    windows = {room[y : y + 112, x : x + 96].tobytes(): (y - 4, x - 4) for y in range(9) for x in range(9)}
    moves = [windows[CHANGES["crop"].change(face, np.random.default_rng(seed)).tobytes()] for seed in range(300)]
    for axis in (0, 1):
        assert {move[axis] for move in moves} == set(range(-4, 5))


def test_grey_is_luma(face: np.ndarray):
    seen = CHANGES["grey"].change(face, np.random.default_rng(0)).astype(int)
    assert np.abs(seen - np.rint(face @ LUMA)[:, :, None]).max() <= 1


def test_colour_scales_brightness_contrast_saturation(face: np.ndarray):
    for seed in range(5):
        brightness, contrast, saturation = np.random.default_rng(seed).uniform(0.8, 1.2, size=3)
        x = face.astype(np.float64)
        grey = (x @ LUMA)[:, :, None]
        x = grey + saturation * (x - grey)
        x = brightness * (grey.mean() + contrast * (x - grey.mean()))
        seen = CHANGES["colour"].change(face, np.random.default_rng(seed))
        assert np.abs(seen - np.clip(x, 0, 255)).max() <= 1


def test_blur_is_a_gaussian(face: np.ndarray):
    for seed in range(5):
        sigma = np.random.default_rng(seed).uniform(0.5, 2.0)
        expected = ndimage.gaussian_filter(face.astype(np.float64), (sigma, sigma, 0), mode="nearest")
        seen = CHANGES["blur"].change(face, np.random.default_rng(seed))
        assert np.abs(seen - expected).mean() < 0.6


def test_lowres_leaves_coarse_shapes_only(face: np.ndarray):
    flat = np.full_like(face, 77)
    for seed in range(9):
        assert np.array_equal(CHANGES["lowres"].change(flat, np.random.default_rng(seed)), flat)
        seen = CHANGES["lowres"].change(face, np.random.default_rng(seed))
        left = np.random.default_rng(seed).uniform(0.2, 0.75)
        size = (round(96 * left), round(112 * left))
        small = [np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BOX), float) for x in (face, seen)]
        assert np.abs(small[0] - small[1]).mean() < 4  # what is left is what was there
        apart = {
            (y, x): np.abs(np.roll(face, (y, x), (0, 1))[8:-8, 8:-8] - seen[8:-8, 8:-8].astype(float)).mean()
            for y in (-3, 0, 3)
            for x in (-3, 0, 3)
        }
        assert min(apart, key=apart.__getitem__) == (0, 0)  # at the same place


def test_jpeg_is_what_pillow_makes_of_that_quality(face: np.ndarray):
    for seed in range(5):
        quality = int(np.random.default_rng(seed).integers(15, 76))
        out = io.BytesIO()
        Image.fromarray(face).save(out, "JPEG", quality=quality, subsampling="4:2:0")
        expected = np.asarray(Image.open(out)).astype(int)
        seen = CHANGES["jpeg"].change(face, np.random.default_rng(seed)).astype(int)
        assert np.abs(seen - expected).mean() < 1


@pytest.mark.parametrize("name", CHANGES)
def test_it_happens_as_often_as_the_table_says(name: str, face: np.ndarray):
    count, chance = 600, CHANGES[name].chance
    augment = augmentation(name == "flip", () if name == "flip" else (name,))
    assert augment.names == (name,)
    small = face[:16, :16]
    changed = sum(not np.array_equal(augment(small, np.random.default_rng(seed)), small) for seed in range(count))
    same = 1 / 81 if name == "crop" else 0.0  # the draw that does not move
    expected = chance * (1 - same)
    assert abs(changed / count - expected) < 4 * max(0.005, (expected * (1 - expected) / count) ** 0.5)


def test_the_order_is_the_table_s_and_flip_is_the_default():
    assert MIRRORED.names == ("flip",) == augmentation(True, ()).names
    assert augmentation(True, ("jpeg", "crop")).names == ("flip", "crop", "jpeg")
    assert augmentation(False, CHOICES).names == CHOICES
    assert augmentation(False, ()).names == ()


def test_unknown_changes_are_refused_with_the_near_miss():
    with pytest.raises(CosfaceError, match=r"--augment 'gray' is not known; did you mean 'grey'\?"):
        augmentation(True, ("gray",))
    with pytest.raises(CosfaceError, match="flip is on without --augment"):
        augmentation(True, ("flip",))
