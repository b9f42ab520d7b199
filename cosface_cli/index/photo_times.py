"""When the photos of crops were changed last: a store knows it of photos only, of crops the folder's manifest does."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import MANIFEST, read_lines
from cosface_cli.artifacts.store.face_rows import Columns, decode, encode
from cosface_cli.errors import CosfaceError

_Times = tuple[NDArray[np.bytes_], NDArray[np.int64]]


class PhotoTimes:
    """Reads each manifest once; of a crop it keeps a digest of the name, and the time."""

    def __init__(self) -> None:
        self._folders: dict[bytes, _Times] = {}

    def told(self, columns: Columns) -> Columns:
        """The same rows; where mtime_ns is 0 and the manifest of their root tells it, it is filled in."""
        times = np.array(columns.numbers["mtime_ns"])
        roots = columns.codes["root"]
        for code in np.unique(roots[(times == 0) & (roots >= 0)]):
            names, known = self._of(columns.tables["root"][code])
            own = np.flatnonzero((times == 0) & (roots == code))
            wanted = np.array([_digest(columns.texts["source"][i]) for i in own], "S12")
            if len(names):
                at = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
                times[own] = np.where(names[at] == wanted, known[at], 0)
        return replace(columns, numbers={**columns.numbers, "mtime_ns": times})

    def _of(self, root: bytes) -> _Times:
        if root not in self._folders:
            found: dict[bytes, int] = {}
            try:
                for values in read_lines(Path(decode(root)) / MANIFEST):
                    found[_digest(encode(values["crop"]))] = int(values["mtime_ns"])
            except (CosfaceError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
                found = {}  # the folder is not what it was: nobody knows the times
            names = np.array(list(found), "S12")
            order = np.argsort(names)
            self._folders[root] = names[order], np.array(list(found.values()), np.int64)[order]
        return self._folders[root]


def _digest(name: bytes) -> bytes:
    return hashlib.blake2b(name, digest_size=12).digest()
