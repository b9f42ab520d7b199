"""Reads a store with h5py alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np


def read_plainly(path: Path) -> tuple[np.ndarray, list[str], dict[str, object]]:
    """Embeddings, sources and attributes by plain h5py, as the formats page shows."""
    with h5py.File(path, "r") as store:
        ends = store["source/offsets"][:]
        blob = store["source/bytes"][:].tobytes()
        sources = [blob[a:b].decode() for a, b in pairwise(ends)]
        attributes = {k: v.decode() if isinstance(v, bytes) else v for k, v in store.attrs.items()}
        return store["embeddings"][:], sources, attributes
