"""Looking for bytes in files: which of many needles still stand somewhere, at every offset."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SHORTEST = 8  # bytes of a needle
_BITS = 20
_MIX = np.uint64(0x9E3779B97F4A7C15)
_BLOCK = 1 << 22


class Needles:
    """Byte strings of SHORTEST bytes and more. A table of what their first bytes mix to passes nearly all of a file
    over without comparing."""

    def __init__(self, needles: Iterable[bytes]) -> None:
        self._by_start: dict[bytes, list[bytes]] = {}
        self.longest = SHORTEST
        for needle in sorted(set(needles)):
            if len(needle) < SHORTEST:
                raise ValueError(f"{needle!r} is too short to be looked for")
            self._by_start.setdefault(needle[:SHORTEST], []).append(needle)
            self.longest = max(self.longest, len(needle))
        starts = np.frombuffer(b"".join(self._by_start), "<u8")
        self._table = np.zeros(1 << _BITS, bool)
        self._table[_mixed(starts)] = True

    def in_file(self, path: Path) -> dict[bytes, int]:
        """Those that stand in a file, each with how often. Raises OSError."""
        found: dict[bytes, int] = {}
        with path.open("rb") as file:
            rest = b""
            while block := file.read(_BLOCK):
                content = rest + block
                # what begins in the last bytes is counted with the next block
                keep = min(len(content), self.longest - 1)
                self._count(content, len(content) - keep, found)
                rest = content[len(content) - keep :]
            self._count(rest, len(rest), found)
        return found

    def _count(self, content: bytes, stop: int, found: dict[bytes, int]) -> None:
        """Count those that begin before `stop`."""
        if not self._by_start or len(content) < SHORTEST:
            return
        for shift in range(SHORTEST):
            words = (
                np.frombuffer(content, "<u8", (len(content) - shift) // SHORTEST, shift) if shift < len(content) else ()
            )
            if not len(words):
                continue
            for at in np.flatnonzero(self._table[_mixed(np.asarray(words))]).tolist():
                start = shift + at * SHORTEST
                if start >= stop:
                    break
                for needle in self._by_start.get(content[start : start + SHORTEST], ()):
                    if content.startswith(needle, start):
                        found[needle] = found.get(needle, 0) + 1


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    return ((words * _MIX) >> np.uint64(64 - _BITS)).astype(np.int64)
