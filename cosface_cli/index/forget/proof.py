"""That nothing is left: every file of ours is searched for the bytes of what went, at every offset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py

from cosface_cli.artifacts.files.byte_search import SHORTEST, Needles
from cosface_cli.artifacts.files.hdf5 import check_plain
from cosface_cli.artifacts.index import forgotten
from cosface_cli.artifacts.store.face_rows import encode
from cosface_cli.artifacts.store.store_file import SIGNATURE
from cosface_cli.index.forget import plan as plans
from cosface_cli.index.forget.plan import Plan

_TABLES = ("source", "identity")


@dataclass(slots=True)
class Proof:
    """files, bytes: looked through; remains: where something was found, and what."""

    files: int = 0
    bytes: int = 0
    remains: dict[str, str] = field(default_factory=dict)


def proved(root: Path, plan: Plan) -> Proof:
    """Search the index folder, the stores with what lies beside them under their names, and the crop folders, for
    pieces of the embeddings and crops, and for the names.

    A name counts where it stands by itself: `a/1.jpg` in the name `aa/1.jpg` of somebody else is no trace.
    """
    names = {encode(name) for name in (*plan.identities, *(source for _, source in plan.sources))}
    names |= {encode(name) for folder in plan.photos.values() for name in folder}
    pieces = {bytes.fromhex(piece) for piece in plan.pieces}
    needles = Needles([*pieces, *(name for name in names if len(name) >= SHORTEST)])
    proof = Proof()
    for path in sorted(set(_files(root, plan))):
        found = needles.in_file(path)
        proof.files += 1
        proof.bytes += path.stat().st_size
        if not pieces.isdisjoint(found):
            proof.remains[str(path)] = "bytes of an embedding or a crop"
        elif (own := _own_names(path)) is not None:
            if any(not names.isdisjoint(_endings(text)) for text in own):
                proof.remains[str(path)] = "a name"
        elif not names.isdisjoint(found):
            proof.remains[str(path)] = "a name"
    return proof


def _files(root: Path, plan: Plan) -> Iterator[Path]:
    for path in root.rglob("*"):
        if path.is_file() and path.name not in (plans.FILE, forgotten.FILE) and not path.name.endswith(".lock"):
            yield path
    for store in map(Path, plan.stores):
        yield from (p for p in store.parent.iterdir() if p.is_file() and _beside(store, p.name))
    for folder in map(Path, plan.folders):
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def _beside(store: Path, name: str) -> bool:
    """Whether a file is a store, its journal, what was moved aside, or an unfinished one."""
    return name == store.name or name.startswith((f"{store.name}.broken", f".{store.name}."))


def _own_names(path: Path) -> set[bytes] | None:
    """Every name that a file of ours holds, each by itself; None for other files."""
    try:
        if path.suffix in (".json", ".jsonl"):
            return {encode(text) for text in _strings_of(path)}
        with path.open("rb") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                return None
        with h5py.File(path, "r", locking=False) as held:
            check_plain(held, path.stat().st_size)
            names: set[bytes] = set()
            for table in _TABLES:
                blob, ends = held[f"{table}/bytes"][:].tobytes(), held[f"{table}/offsets"][:].tolist()
                names.update(blob[low:high] for low, high in pairwise(ends))
            if "rejects" in held:
                for text in held["rejects"][:].tobytes().splitlines():
                    names.update(encode(found) for found in _strings(json.loads(text)))
            return names
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # nobody can say how it is to be read: what was found in its bytes counts


def _endings(name: bytes) -> Iterator[bytes]:
    """A path, and what it ends with from each of its levels on."""
    parts = name.split(b"/")
    return (b"/".join(parts[level:]) for level in range(len(parts)))


def _strings_of(path: Path) -> Iterator[str]:
    text = path.read_text("utf-8", "surrogateescape")
    for part in [text] if path.suffix == ".json" else text.splitlines():
        yield from _strings(json.loads(part))


def _strings(found: Any) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    elif isinstance(found, dict):
        for key, value in found.items():
            yield str(key)
            yield from _strings(value)
    elif isinstance(found, list):
        for value in found:
            yield from _strings(value)
