"""What RetinaFace's answers mean: regressions relative to priors, squares of two sizes at each place of three maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Sides = tuple[tuple[int, int], ...]  # of the priors of each map, pixels
Array = NDArray[np.float32]

STRIDES = (8, 16, 32)  # of the maps
CENTRE, SIZE = 0.1, 0.2  # "variances": the units of the regressions of centres and points, and of log sizes


def priors(height: int, width: int, sides: Sides) -> Array:
    """(P, 3) centre x, centre y and side, pixels, of the priors of a picture of that size.

    In the network's order: from the finest map to the coarsest, row by row, the smaller side first.
    """
    found = []
    for stride, own in zip(STRIDES, sides, strict=True):
        rows, columns = -(-height // stride), -(-width // stride)  # padded convolutions round up
        y, x, side = np.meshgrid(np.arange(rows), np.arange(columns), np.array(own), indexing="ij")
        found.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, side], axis=-1).reshape(-1, 3))
    return np.concatenate(found).astype(np.float32)


def decoded(prior: Array, box: Array, points: Array) -> tuple[Array, Array]:
    """Boxes (N, 4) and landmarks (N, 5, 2), pixels, of priors (N, 3) and their regressions box (N, 4), points (N, 10).

    centre = prior + .1 side box[:2], size = side exp(.2 box[2:]), point = prior + .1 side points.
    """
    centre, side = prior[:, :2], prior[:, 2:]
    middle = centre + CENTRE * side * box[:, :2]
    half = side * np.exp(SIZE * box[:, 2:]) / 2
    landmarks = centre[:, None] + CENTRE * side[:, None] * points.reshape(-1, 5, 2)
    return np.concatenate([middle - half, middle + half], axis=1), landmarks
