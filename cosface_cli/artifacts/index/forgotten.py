"""forgotten.jsonl of an index folder: receipts of forgotten faces, by hashes only, so that no later build adds them.

One line for each `cosface index forget`: `time` (UTC), `faces` (SHA-256 of the file and number of the face in it),
`crops` (SHA-256 of each crop file), counts of rows, and the files that were searched for traces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import line, read_lines
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.store.face_rows import FACE_KEY, SOURCE_KEY, face_digest
from cosface_cli.errors import CosfaceError, DamagedError

FILE = "forgotten.jsonl"
PLAN = ".forget.json"  # exists while `cosface index forget` runs, and after it was interrupted


def write_receipt(root: Path, receipt: Mapping[str, object]) -> Path:
    """Append a receipt, whole or not at all. The caller must hold the index's lock."""
    path = root / FILE
    before = path.read_bytes() if path.is_file() else b""
    atomic.write_bytes(path, before + line(receipt).encode())
    return path


def join_receipts(roots: Iterable[Path], target: Path) -> None:
    """Add the receipts of several indexes to those of target, each once."""
    lines: dict[bytes, None] = {}
    for root in [target, *roots]:
        if (root / FILE).is_file():
            lines.update(dict.fromkeys((root / FILE).read_bytes().splitlines(keepends=True)))
    if lines:
        atomic.write_bytes(target / FILE, b"".join(lines))


def forgotten_faces(root: Path) -> NDArray[np.bytes_]:
    """Digests of the forgotten faces, sorted: bytes SOURCE_KEY to FACE_KEY of the keys of their rows."""
    digests = []
    try:
        for digest, face in (key.split(":") for key in forgotten_keys(root)):
            digests.append(face_digest(int(face), bytes.fromhex(digest)))
    except (ValueError, OverflowError) as error:
        raise _damaged(root) from error
    return np.sort(np.array(digests, f"S{FACE_KEY - SOURCE_KEY}"))


def forgotten_keys(root: Path) -> Iterator[str]:
    """The keys of the forgotten faces, as in people_file.face_key. Raises DamagedError."""
    try:
        for receipt in read_lines(root / FILE):
            yield from map(str, receipt["faces"])
    except (KeyError, TypeError) as error:
        raise _damaged(root) from error


def require_no_unfinished_forget(root: Path) -> None:
    """Raises CosfaceError if a run of `cosface index forget` was interrupted before its end."""
    if (root / PLAN).exists():
        raise CosfaceError(
            "an interrupted `cosface index forget` is unfinished",
            root,
            f"finish it first: cosface index forget {root} --yes",
        )


def _damaged(root: Path) -> DamagedError:
    return DamagedError("damaged: a line is not a receipt", root / FILE, "remove that line")
