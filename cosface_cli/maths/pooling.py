"""Several photos of one person as one vector."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pooled(vectors: ArrayLike, weights: ArrayLike | None = None) -> NDArray[np.float32]:
    """The weighted mean of unit vectors (N, D), scaled to unit length (D,).

    weights: (N,), 0 or more; None: all equal. Raises ValueError for wrong weights and if the mean is zero: no vectors,
    all weights 0, or vectors that cancel out.
    """
    rows = np.asarray(vectors, dtype=np.float64)
    share = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (len(rows),) or not np.isfinite(share).all() or (share < 0).any():
        raise ValueError(f"weights must be {len(rows)} numbers of 0 or more, one for each vector")
    total = float(share.max(initial=0.0))
    mean = (share / total if total else share) @ rows  # divided first: tiny weights would underflow
    length = float(np.linalg.norm(mean))
    if not length > 1e-9:
        raise ValueError("the vectors cancel out")
    return np.asarray(mean / length, dtype=np.float32)
