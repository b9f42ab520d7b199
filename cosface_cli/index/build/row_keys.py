"""Keys of rows as arrays (see artifacts.store.face_rows.Columns.keys): their parts, and which rows an index accepts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.forgotten import forgotten_faces
from cosface_cli.artifacts.store.face_rows import FACE_KEY, SOURCE_KEY

Keys = NDArray[np.bytes_]
Mask = NDArray[np.bool_]


def source_keys(keys: Keys) -> Keys:
    """The part of each key (n,) that identifies root and source of the row."""
    return _part(keys, 0, SOURCE_KEY)


def face_keys(keys: Keys) -> Keys:
    """The part of each key (n,) that identifies the file content and the face, independent of the source."""
    return _part(keys, SOURCE_KEY, FACE_KEY)


def is_in(keys: Keys, sorted_keys: Keys) -> Mask:
    """Which of the keys (n,) are among sorted_keys (m,), which ascend."""
    if not len(sorted_keys):
        return np.zeros(len(keys), bool)
    positions = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[positions] == keys)


@dataclass(frozen=True, slots=True, eq=False)
class AcceptedRows:
    """Which rows an index accepts, of n rows that are offered to it."""

    mask: Mask
    """(n,) of the rows."""
    duplicates: int
    """Rows left out because a row before has the same source, face and content."""
    forgotten: int
    """Rows left out because the index forgot their face."""


def accepted_rows(keys: Keys, root: Path) -> AcceptedRows:
    """Decide which rows with these keys (n,) are accepted: of duplicates only the first, and no face that the index at
    root forgot."""
    first = np.zeros(len(keys), bool)
    first[np.unique(_part(keys, 0, FACE_KEY), return_index=True)[1]] = True
    forgotten = first & is_in(face_keys(keys), forgotten_faces(root))
    return AcceptedRows(first & ~forgotten, len(keys) - int(first.sum()), int(forgotten.sum()))


def _part(keys: Keys, start: int, stop: int) -> Keys:
    digits = np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), keys.itemsize)
    return np.ascontiguousarray(digits[:, start:stop]).view(f"S{stop - start}").reshape(-1)
