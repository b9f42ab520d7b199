"""When the photos of crops were last changed. A store records this for photos; for crops the crop folder's manifest
does."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import MANIFEST, read_lines
from cosface_cli.artifacts.store.face_rows import Columns, decode, encode
from cosface_cli.errors import CosfaceError

_Times = tuple[NDArray[np.bytes_], NDArray[np.int64]]  # digests of crop names, ascending, and their times


class PhotoTimes:
    """Modification times by crop folder. Each manifest is read once; memory holds a digest and a time per crop."""

    def __init__(self) -> None:
        self._folders: dict[bytes, _Times] = {}

    def fill_in(self, columns: Columns) -> Columns:
        """The same rows; an mtime_ns of 0 is replaced where the manifest of the row's root has the time."""
        times = np.array(columns.numbers["mtime_ns"])
        roots = columns.codes["root"]
        for code in np.unique(roots[(times == 0) & (roots >= 0)]):
            names, known_times = self._of_folder(columns.tables["root"][code])
            rows = np.flatnonzero((times == 0) & (roots == code))
            digests = np.array([_digest(columns.texts["source"][row]) for row in rows], "S12")
            if len(names):
                positions = np.minimum(np.searchsorted(names, digests), len(names) - 1)
                times[rows] = np.where(names[positions] == digests, known_times[positions], 0)
        return replace(columns, numbers={**columns.numbers, "mtime_ns": times})

    def _of_folder(self, root: bytes) -> _Times:
        if root not in self._folders:
            by_name: dict[bytes, int] = {}
            try:
                for values in read_lines(Path(decode(root)) / MANIFEST):
                    by_name[_digest(encode(values["crop"]))] = int(values["mtime_ns"])
            except (CosfaceError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
                by_name = {}  # not a readable crop folder any more: the times are unknown
            names = np.array(list(by_name), "S12")
            order = np.argsort(names)
            self._folders[root] = names[order], np.array(list(by_name.values()), np.int64)[order]
        return self._folders[root]


def _digest(name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=12).digest()
