"""Keys of many rows at once (see artifacts.rows.Columns.keys): parts of them, and which of the rows an index takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.forgotten import forgotten_faces
from cosface_cli.artifacts.store.face_rows import FACE_KEY, SOURCE_KEY

Keys = NDArray[np.bytes_]
Mask = NDArray[np.bool_]


def sources_of(keys: Keys) -> Keys:
    """What tells root and source of each row."""
    return _part(keys, 0, SOURCE_KEY)


def faces_of(keys: Keys) -> Keys:
    """What tells the face and the content of each row, whatever the source."""
    return _part(keys, SOURCE_KEY, FACE_KEY)


def found_in(keys: Keys, ordered: Keys) -> Mask:
    """Which of the keys are among others, which are in order."""
    if not len(ordered):
        return np.zeros(len(keys), bool)
    at = np.minimum(np.searchsorted(ordered, keys), len(ordered) - 1)
    return np.asarray(ordered[at] == keys)


def admitted(keys: Keys, root: Path) -> tuple[Mask, int, int]:
    """Which rows an index takes: of those that stand more than once (same source, face and content) the first, and none
    that it forgot; and how many there were of both kinds."""
    wanted = np.zeros(len(keys), bool)
    wanted[np.unique(_part(keys, 0, FACE_KEY), return_index=True)[1]] = True
    doubles = len(keys) - int(wanted.sum())
    forgotten = wanted & found_in(faces_of(keys), forgotten_faces(root))
    return wanted & ~forgotten, doubles, int(forgotten.sum())


def _part(keys: Keys, start: int, stop: int) -> Keys:
    digits = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), keys.itemsize)
    return np.ascontiguousarray(digits[:, start:stop]).view(f"S{stop - start}").reshape(-1)
