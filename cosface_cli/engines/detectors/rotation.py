"""Pictures rotated by multiples of 90 degrees, and the detections in them mapped back to the original picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.engines.detectors import Detections

ROTATIONS = (90, 180, 270)


def rotate(image: NDArray[np.uint8], degrees: int) -> NDArray[np.uint8]:
    """The picture (H, W, 3) rotated clockwise by 0, 90, 180 or 270 degrees."""
    return np.ascontiguousarray(np.rot90(image, -degrees // 90))


def rotate_back(detections: Detections, degrees: int, width: int, height: int) -> Detections:
    """Detections in a picture that was rotated clockwise, as pixels of the original picture of width x height.

    Landmarks are measured from the centre of the first pixel, boxes from its corner. The landmarks keep their order,
    that of an upright face.
    """
    corners = detections.boxes.reshape(-1, 2, 2)
    for _ in range(degrees // 90):  # undo 90 degrees: (x, y) was at (y, height before that rotation - x)
        width, height = height, width
    landmarks = detections.landmarks
    for _ in range(degrees // 90):
        width, height = height, width
        corners = np.stack([corners[..., 1], height - corners[..., 0]], axis=-1)
        landmarks = np.stack([landmarks[..., 1], height - 1 - landmarks[..., 0]], axis=-1)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Detections(boxes.astype(np.float32), landmarks.astype(np.float32), detections.scores)
