"""The box arithmetic of MTCNN's three stages, with the conventions of Zhang's code and of facenet-pytorch.

Boxes are (N, 4) float32: left, top, right, bottom in pixels. Pixels are counted from 1, and right and bottom belong to
the box. Detections contain these numbers unchanged, as in other implementations.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Ints = NDArray[np.int64]

STRIDE, WINDOW = 2, 12  # of P-Net, in pixels of the level


def scales(height: int, width: int, min_face: float, factor: float) -> list[float]:
    """The scale of each level of the pyramid, finest first.

    In the first level, a face of min_face pixels fills P-Net's window; in the last, the picture's shorter side does.
    """
    levels = []
    scale = WINDOW / min_face
    side = min(height, width) * scale
    while side >= WINDOW:
        levels.append(scale)
        scale *= factor
        side *= factor
    return levels


def windows(prob: Array, reg: Array, scale: float, threshold: float) -> Array:
    """The windows whose probability is at least the threshold, from P-Net's maps (H', W') and (4, H', W').

    Returns (N, 9): the window's box in the picture, its probability, the regression of its four sides.
    """
    rows, columns = np.nonzero(prob >= threshold)
    cells = np.empty((len(rows), 9), np.float32)
    corner = np.stack([columns, rows], axis=1).astype(np.float32) * STRIDE
    cells[:, :2] = np.floor((corner + 1) / np.float32(scale))
    cells[:, 2:4] = np.floor((corner + WINDOW) / np.float32(scale))
    cells[:, 4] = prob[rows, columns]
    cells[:, 5:] = reg[:, rows, columns].T
    return cells


def regressed(boxes: Array, reg: Array, inclusive: bool = True) -> Array:
    """Boxes with their sides moved by reg (N, 4), in fractions of width and height. P-Net: inclusive=False."""
    size = boxes[:, 2:] - boxes[:, :2] + np.float32(inclusive)
    return boxes + reg * np.tile(size, 2)


def squared(boxes: Array) -> Array:
    """The squares with the same centres, as large as the boxes' longer sides."""
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + size * np.float32(0.5) - side * np.float32(0.5)
    return np.concatenate([corner, corner + side], axis=1)


def inside(boxes: Array, height: int, width: int) -> Ints:
    """The parts of the boxes inside the picture, for slices: left, top, right, bottom from 0, ends excluded."""
    cut = np.trunc(boxes).astype(np.int64)
    cut[:, :2] = np.maximum(cut[:, :2], 1) - 1
    cut[:, 2] = np.minimum(cut[:, 2], width)
    cut[:, 3] = np.minimum(cut[:, 3], height)
    return cut


def suppress(boxes: Array, scores: Array, overlap: float) -> Ints:
    """Greedy non-maximum suppression by intersection over union: the indices that stay, best score first."""
    if len(boxes) < 2:
        return np.arange(len(boxes))
    rects: Any = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    values: Any = scores
    # OpenCV uses single precision, in which .7 is less than 0.7
    return np.asarray(cv2.dnn.NMSBoxes(rects, values, 0.0, overlap + 1e-6), dtype=np.int64).reshape(-1)


def suppress_nested(boxes: Array, scores: Array, overlap: float) -> Ints:
    """Like suppress, by intersection over the smaller area. This removes a box that lies inside another one."""
    if len(boxes) < 2:
        return np.arange(len(boxes))
    size = np.maximum(boxes[:, 2:] - boxes[:, :2] + 1, 0)
    area = size[:, 0] * size[:, 1]
    corner = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    shared = np.maximum(np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - corner + 1, 0)
    hides = shared[..., 0] * shared[..., 1] > overlap * np.minimum(area[:, None], area)
    keep: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        if not hides[i, keep].any():
            keep.append(i)
    return np.array(keep, dtype=np.int64)
