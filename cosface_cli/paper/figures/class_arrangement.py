"""The arrangement of classes of 2-D features on the unit circle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_EDGE = 5.0  # percent of a class's features that may lie beyond its edge, on each side


@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """The arrangement of N features in C classes."""

    circle: Array
    """(N, 2) the features at unit length."""
    centres: Array
    """(C,) mean directions in degrees, -180..180."""
    mean_angle: float
    """Mean angle between a feature and the centre of its class, degrees."""
    max_cosine: float
    """Largest cosine between two centres."""
    gaps: Array
    """(C,) degrees between the edges of neighbouring classes, ordered by their centres from -180; negative if they
    overlap."""


def arrangement_of(features: Array, labels: NDArray[np.int64]) -> Arrangement:
    """The arrangement of features (N, 2) with labels (N,) 0..C-1, C at least 2.

    The edges of a class are the 5th and 95th percentile of its angles. Raises ValueError for a feature of length 0.
    """
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    if not (np.isfinite(lengths).all() and (lengths > 0).all()):
        raise ValueError("a feature is zero or not finite")
    circle = features / lengths
    classes = int(labels.max()) + 1
    means = np.stack([circle[labels == label].mean(axis=0) for label in range(classes)])  # (C, 2)
    centres = np.degrees(np.arctan2(means[:, 1], means[:, 0]))
    angles = np.degrees(np.arctan2(circle[:, 1], circle[:, 0]))
    offsets = _wrapped(angles - centres[labels])  # (N,), -180..180
    edges = np.stack(
        [np.percentile(offsets[labels == label], [_EDGE, 100 - _EDGE]) for label in range(classes)]
    )  # (C, 2)

    order = np.argsort(centres)
    successors = np.roll(order, -1)
    centre_steps = (centres[successors] - centres[order]) % 360.0
    centre_distances = np.abs(_wrapped(centres[:, None] - centres[None, :]))[~np.eye(classes, dtype=bool)]
    return Arrangement(
        circle=circle,
        centres=centres,
        mean_angle=float(np.abs(offsets).mean()),
        max_cosine=math.cos(math.radians(float(centre_distances.min()))),
        gaps=centre_steps + edges[successors, 0] - edges[order, 1],
    )


def nearest_in_angle(features: Array, weights: Array) -> NDArray[np.int64]:
    """The class (N,) of each feature (N, 2) whose weight, of weights (C, 2), is nearest in angle."""
    unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    nearest: NDArray[np.int64] = np.argmax(features @ unit.T, axis=1)
    return nearest


def _wrapped(degrees: Array) -> Array:
    """The angles, in degrees, wrapped to -180..180."""
    wrapped: Array = (degrees + 180.0) % 360.0 - 180.0
    return wrapped
