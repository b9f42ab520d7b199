"""Quarter turns: every pixel and every box found again where it was."""

from __future__ import annotations

import numpy as np
import pytest

from cosface_cli.engines.detectors import Detections
from cosface_cli.engines.detectors.rotation import ROTATIONS, rotate, rotate_back


@pytest.mark.parametrize("degrees", [0, *ROTATIONS])
def test_what_is_found_in_the_turned_picture_lies_in_the_picture(degrees: int) -> None:
    height, width = 3, 5
    image = np.arange(height * width, dtype=np.uint8).reshape(height, width, 1).repeat(3, axis=2)
    seen = rotate(image, degrees)
    y, x = (axis.ravel() for axis in np.mgrid[: seen.shape[0], : seen.shape[1]])
    marks = np.stack([x, y], axis=1).astype(np.float32)  # each pixel's centre, five of them a face
    boxes = np.concatenate([marks, marks + np.float32(1)], axis=1).astype(np.float32)[::5]  # the pixel of its first
    found = rotate_back(Detections(boxes, marks.reshape(-1, 5, 2), np.ones(3, np.float32)), degrees, width, height)
    columns, rows = found.landmarks.reshape(-1, 2).astype(int).T
    np.testing.assert_array_equal(image[rows, columns], seen[y, x])
    first = found.landmarks[:, 0]
    np.testing.assert_array_equal(found.boxes, np.concatenate([first, first + 1], axis=1))


def test_turns_are_clockwise() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[0, 0] = 9  # top left goes to the top right
    assert rotate(image, 90).shape == (3, 2, 3) and rotate(image, 90)[0, 1, 0] == 9
    assert rotate(image, 180)[1, 2, 0] == 9 and rotate(image, 270)[2, 0, 0] == 9


def test_nothing_stays_nothing() -> None:
    none = Detections(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))
    back = rotate_back(none, 90, 4, 3)
    assert back.boxes.shape == (0, 4) and back.landmarks.shape == (0, 5, 2)
