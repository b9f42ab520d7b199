"""Pictures turned by quarters, and what was found in them back in the pixels of the picture as it was."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.detectors import Detections

TURNS = (90, 180, 270)


def turned(image: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """The picture (H, W, 3) turned clockwise by 0, 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(image, -degrees // 90))


def turned_back(found: Detections, degrees: int, width: int, height: int) -> Detections:
    """What was found in a picture turned clockwise by so many degrees, in the picture of width x height before.

    Landmarks count from the centre of the first pixel, boxes from its corner. They keep their order, that of the face
    held upright.
    """
    corners = found.boxes.reshape(-1, 2, 2)
    for _ in range(degrees // 90):  # undo one quarter: (x, y) was at (y, the height before the quarter - x)
        width, height = height, width
    landmarks = found.landmarks
    for _ in range(degrees // 90):
        width, height = height, width
        corners = np.stack([corners[..., 1], height - corners[..., 0]], axis=-1)
        landmarks = np.stack([landmarks[..., 1], height - 1 - landmarks[..., 0]], axis=-1)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Detections(boxes.astype(np.float32), landmarks.astype(np.float32), found.scores)
