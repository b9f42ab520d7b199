"""A linear map between two embedding spaces, learned on the same faces seen by both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def ridge(x: NDArray[np.floating], y: NDArray[np.floating], strength: float) -> Array:
    """The map M (A, B) that minimises |x M - y|^2 + strength n |M|^2, for x (n, A) and y (n, B):
    M = (x'x + strength n 1)^-1 x'y."""
    left, right = np.asarray(x, np.float64), np.asarray(y, np.float64)
    gram = left.T @ left + strength * len(left) * np.eye(left.shape[1])
    return np.asarray(np.linalg.solve(gram, left.T @ right), np.float64)


def mapped(x: NDArray[np.floating], matrix: Array) -> NDArray[np.float32]:
    """x (n, A) by the map (A, B), of unit length again. Raises ValueError where one comes to lie at zero."""
    found = np.asarray(x, np.float64) @ matrix
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    if not (lengths > 1e-9).all():
        raise ValueError("the map takes a vector to zero")
    return np.asarray(found / lengths, np.float32)


def rank1(probes: NDArray[np.floating], gallery: NDArray[np.floating], people: NDArray[np.int64]) -> float | None:
    """How often the nearest other face is of the same person, over the faces whose person has another.

    probes, gallery: (n, D) unit vectors of the same n faces; people: (n,) whose. None where nobody has two.
    """
    _, person, count = np.unique(people, return_inverse=True, return_counts=True)
    own = np.flatnonzero(count[person] > 1)
    if not len(own):
        return None
    right = 0
    for low in range(0, len(own), 1024):
        part = own[low : low + 1024]
        cosines = np.asarray(probes[part], np.float64) @ np.asarray(gallery, np.float64).T
        cosines[np.arange(len(part)), part] = -np.inf
        right += int((people[cosines.argmax(1)] == people[part]).sum())
    return right / len(own)
