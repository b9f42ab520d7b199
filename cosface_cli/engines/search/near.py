"""From proposed rows to the nearest: cosines in double precision, best first, equal ones in the order of ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.vector_file import VectorFile

_AT_ONCE = 1 << 22  # numbers gathered at a time


def nearest(
    vectors: VectorFile, probes: NDArray[np.float32], proposed: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cosines (M, K) and ids (M, K) of the k best among the ids proposed (M, P) to each probe (M, D), K = min(k, P).

    Where fewer were proposed (-1), a row ends with -inf and -1.
    """
    count, wide = proposed.shape
    keep = min(k, wide)
    cosines = np.full((count, keep), -np.inf)
    ids = np.full((count, keep), -1, np.int64)
    wide_step = max(1, _AT_ONCE // vectors.size)
    step = max(1, wide_step // max(1, wide))
    for low in range(0, count if keep else 0, step):
        part = slice(low, low + step)
        candidates = proposed[part]
        absent = candidates < 0
        any_absent = absent.any()
        rows = np.where(absent, 0, candidates) if any_absent else candidates
        exact_probes = probes[part].astype(np.float64)
        scores = np.empty(candidates.shape)
        for at in range(0, wide, wide_step):
            near = vectors.take(rows[:, at : at + wide_step]).astype(np.float64)
            scores[:, at : at + wide_step] = np.einsum("mpd,md->mp", near, exact_probes)
        if any_absent:
            scores[absent] = -np.inf
        order = np.lexsort((candidates, -scores), axis=1)[:, :keep]
        cosines[part] = np.take_along_axis(scores, order, 1)
        ids[part] = np.take_along_axis(candidates, order, 1)
    np.minimum(cosines, 1.0, out=cosines)
    np.copyto(cosines, -1.0, where=(cosines < -1.0) & (ids >= 0))
    return cosines, ids
