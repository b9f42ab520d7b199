"""Vectors of length 1: how they are made, and how much the length of a stored one may differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3  # largest deviation of the length of a stored vector from 1


def lengths(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Euclidean lengths (N,) of rows (N, D), in double precision."""
    return np.asarray(np.linalg.norm(vectors.astype(np.float64), axis=1))


def are_unit(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows (N, D) have length 1 within TOLERANCE. False for a row that holds NaN or infinity."""
    return np.asarray(np.abs(lengths(vectors) - 1) <= TOLERANCE)


def unit_length(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (N, D) divided by their lengths, in double precision; zero rows stay zero."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(norms > 0, wide / norms, wide).astype(np.float32)
