"""A linear map between the embedding spaces of two models, learned from the same faces embedded by both."""

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
    """Vectors x (n, A) times matrix (A, B), scaled to unit length. Raises ValueError if a product is zero."""
    products = np.asarray(x, np.float64) @ matrix
    lengths = np.linalg.norm(products, axis=1, keepdims=True)
    if not (lengths > 1e-9).all():
        raise ValueError("a vector is mapped to zero")
    return np.asarray(products / lengths, np.float32)


def rank1(probes: NDArray[np.floating], gallery: NDArray[np.floating], people: NDArray[np.int64]) -> float | None:
    """The share of faces whose nearest other face shows the same person, among the faces of people with two or more.

    probes, gallery: (n, D) unit vectors of the same n faces; people: (n,) their labels. None if nobody has two faces.
    """
    _, person, count = np.unique(people, return_inverse=True, return_counts=True)
    mated = np.flatnonzero(count[person] > 1)
    if not len(mated):
        return None
    right = 0
    for low in range(0, len(mated), 1024):
        part = mated[low : low + 1024]
        cosines = np.asarray(probes[part], np.float64) @ np.asarray(gallery, np.float64).T
        cosines[np.arange(len(part)), part] = -np.inf
        right += int((people[cosines.argmax(1)] == people[part]).sum())
    return right / len(mated)
