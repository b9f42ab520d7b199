"""From proposals to the nearest: cosines in double precision, best first, equal ones in the order of their ids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.vector_file import VectorFile

_AT_ONCE = 1 << 22  # numbers that are gathered at a time


def nearest(
    vectors: VectorFile, probes: NDArray[np.float32], proposed: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Cosines (M, K) and ids (M, K) of the k best among the ids proposed (M, P) to each probe (M, D), K = min(k, P).

    Where a probe was proposed fewer (-1), its rows end with -inf and -1.
    """
    count, wide = proposed.shape
    keep = min(k, wide)
    cosines = np.full((count, keep), -np.inf)
    ids = np.full((count, keep), -1, np.int64)
    wide_step = max(1, _AT_ONCE // vectors.size)
    step = max(1, wide_step // max(1, wide))
    for low in range(0, count if keep else 0, step):
        part = slice(low, low + step)
        own = proposed[part]
        none = own < 0
        some = none.any()
        rows, sought = np.where(none, 0, own) if some else own, probes[part].astype(np.float64)
        scores = np.empty(own.shape)
        for at in range(0, wide, wide_step):
            near = vectors.take(rows[:, at : at + wide_step]).astype(np.float64)
            scores[:, at : at + wide_step] = np.einsum("mpd,md->mp", near, sought)
        if some:
            scores[none] = -np.inf
        order = np.lexsort((own, -scores), axis=1)[:, :keep]
        cosines[part], ids[part] = np.take_along_axis(scores, order, 1), np.take_along_axis(own, order, 1)
    np.minimum(cosines, 1.0, out=cosines)
    np.copyto(cosines, -1.0, where=(cosines < -1.0) & (ids >= 0))
    return cosines, ids
