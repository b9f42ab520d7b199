"""Names of crops: <stem>.jpg, and <stem>.2.jpg for a second face. No two crops have the same name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath


class CropNames:
    """Assigns names to crops. If the stem of a photo is taken, its whole file name is used: a.png.jpg for a.png."""

    def __init__(self, taken: Iterable[str], suffix: str) -> None:
        self._taken = set(taken)
        self._suffix = suffix

    def claim(self, source: str, count: int) -> list[str]:
        """Names for `count` crops of the photo `source` (relative, forward slashes), in the same sub-folders."""
        path = PurePosixPath(source)
        bases = [path.with_name(path.stem), path]
        n = 2
        while True:
            base = bases.pop(0) if bases else path.with_name(f"{path.name}-{n}")
            n += not bases
            names = [f"{base}{self._suffix}"]
            names += [f"{base}.{face}{self._suffix}" for face in range(2, count + 1)]
            if self._taken.isdisjoint(names):
                self._taken.update(names)
                return names

    def release(self, names: Sequence[str]) -> None:
        """Make names available again, because their photo is aligned again."""
        self._taken.difference_update(names)
