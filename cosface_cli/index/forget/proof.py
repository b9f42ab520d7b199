"""The proof that no trace is left: the removed bytes are searched for in every file of cosface, at every offset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import h5py

from cosface_cli.artifacts.files.byte_search import SHORTEST, Needles
from cosface_cli.artifacts.files.hdf5 import check_plain
from cosface_cli.artifacts.index import forgotten
from cosface_cli.artifacts.store.face_rows import encode
from cosface_cli.artifacts.store.store_file import SIGNATURE
from cosface_cli.index.forget.plan import Plan

_NAME_TABLES = ("source", "identity")


@dataclass(slots=True)
class Proof:
    """The result of the search for traces."""

    files: int = 0
    bytes: int = 0
    remains: dict[str, str] = field(default_factory=dict)
    """By file, the kind of trace in it."""


def search_for_traces(root: Path, plan: Plan) -> Proof:
    """Search the index folder, the stores with their journals and copies, and the crop folders, for pieces of the
    embeddings and crops, and for the names.

    Only whole names and whole path endings count: `a/1.jpg` within another person's `aa/1.jpg` is not a trace.
    """
    names = {encode(name) for name in (*plan.identities, *(source for _, source in plan.sources))}
    names |= {encode(name) for folder in plan.photos.values() for name in folder}
    pieces = {bytes.fromhex(piece) for piece in plan.pieces}
    needles = Needles([*pieces, *(name for name in names if len(name) >= SHORTEST)])
    proof = Proof()
    for path in sorted(set(_files(root, plan))):
        matches = needles.in_file(path)
        proof.files += 1
        proof.bytes += path.stat().st_size
        if not pieces.isdisjoint(matches):
            proof.remains[str(path)] = "bytes of an embedding or a crop"
        elif (names_in_file := _names_in(path)) is not None:
            if any(not names.isdisjoint(_endings(name)) for name in names_in_file):
                proof.remains[str(path)] = "a name"
        elif not names.isdisjoint(matches):
            proof.remains[str(path)] = "a name"
    return proof


def _files(root: Path, plan: Plan) -> Iterator[Path]:
    """Every file that could hold a trace. Left out are the plan, which is deleted at the end, and the receipts, which
    have only hashes."""
    for path in root.rglob("*"):
        is_left_out = path.name in (forgotten.PLAN, forgotten.FILE) or path.name.endswith(".lock")
        if path.is_file() and not is_left_out:
            yield path
    for store in map(Path, plan.stores):
        yield from (path for path in store.parent.iterdir() if path.is_file() and _belongs_to(store, path.name))
    for folder in map(Path, plan.folders):
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".lock"))


def _belongs_to(store: Path, name: str) -> bool:
    """Whether a file beside a store is the store, its journal, an unfinished copy, or a damaged copy moved aside."""
    return name == store.name or name.startswith((f"{store.name}.broken", f".{store.name}."))


def _names_in(path: Path) -> set[bytes] | None:
    """Every name in a file of one of cosface's formats; None for other files, whose bytes are searched instead."""
    try:
        if path.suffix in (".json", ".jsonl"):
            return {encode(text) for text in _texts_of_json_file(path)}
        with path.open("rb") as file:
            if file.read(len(SIGNATURE)) != SIGNATURE:
                return None
        with h5py.File(path, "r", locking=False) as h5:
            check_plain(h5, path.stat().st_size)
            names: set[bytes] = set()
            for table in _NAME_TABLES:
                blob, ends = h5[f"{table}/bytes"][:].tobytes(), h5[f"{table}/offsets"][:].tolist()
                names.update(blob[low:high] for low, high in pairwise(ends))
            if "rejects" in h5:
                for reject in h5["rejects"][:].tobytes().splitlines():
                    names.update(encode(text) for text in _texts_of(json.loads(reject)))
            return names
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # an unknown format: the search of its bytes counts


def _endings(name: bytes) -> Iterator[bytes]:
    """A path, and its endings: the path without its first level, without its first two levels, and so on."""
    levels = name.split(b"/")
    return (b"/".join(levels[level:]) for level in range(len(levels)))


def _texts_of_json_file(path: Path) -> Iterator[str]:
    text = path.read_text("utf-8", "surrogateescape")
    for part in [text] if path.suffix == ".json" else text.splitlines():
        yield from _texts_of(json.loads(part))


def _texts_of(value: object) -> Iterator[str]:
    """Every text in a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _texts_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts_of(inner)
