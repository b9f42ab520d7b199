"""An index moved to another model without its photos: by a linear map, learned on faces that both models saw."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.forgotten import join_receipts
from cosface_cli.artifacts.index.index_folder import MAIN, read_header, settle
from cosface_cli.artifacts.index.people_file import join
from cosface_cli.artifacts.store.face_rows import FACE_KEY, KEY, SOURCE_KEY, decode
from cosface_cli.artifacts.store.store_file import Store, StoreHeader
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.index.forget.plan import require_forgotten
from cosface_cli.index.keys import faces_of
from cosface_cli.index.segments import BLOCK, Block, How, Writer, blocks, changed
from cosface_cli.index.upkeep import MigrateConfig, MigrateReport
from cosface_cli.maths.linear_map import mapped, rank1, ridge
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, ignore

RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_FIT, _CHOOSE = 0.6, 0.2  # shares of the people; on the rest the cost is measured


def migrate(config: MigrateConfig, emit: OnOutcome = ignore) -> MigrateReport:
    """Write the index anew with vectors as the new model would give them, so far as a linear map can. Names come along.

    The map is learned on some people, its strength chosen on others, its cost measured on the rest. Rows that the new
    model embeds itself take the place of mapped ones when they are built in or added. Raises ModelMismatch where the
    index is not of the old model, CosfaceError where too few faces are in both stores.
    """
    how = How.asked(config.search, config.recall)
    header = read_header(config.index)
    require_forgotten(config.index)
    for path in (config.old, config.new):
        require_finished(path)
    faces = _common(config.old, config.new)
    if (faces.old.model_id, faces.old.flip) != (header.model_id, header.flip):
        problem = f"embeddings of {faces.old.model} ({faces.old.model_id}), the index has {header.model}"
        raise ModelMismatch(f"{problem} ({header.model_id})", config.old, "first the index's model, then the new one")
    if header.mapped is not None:
        raise CosfaceError("its vectors came by a map already", config.index, "migrate the index it was made from")
    if (config.out / MAIN).exists():
        raise CosfaceError("there is an index already", config.out, "give a new folder")
    matrix, measured = _learned(faces, config)
    emit(Note(_words(measured, faces.new.model)))
    new = replace(
        header,
        engine="faiss",
        uri=None,
        model=faces.new.model,
        model_id=faces.new.model_id,
        template=faces.new.template,
        flip=faces.new.flip,
        size=faces.new.size,
        segments=(),
        files={},
        stores=(),
        mapped={"model": header.model, "model_id": header.model_id, **measured},
    )
    atomic.make_folder(config.out)
    with atomic.lock(config.index / MAIN), atomic.lock(config.out / MAIN), atomic.write_errors(config.out):
        join_receipts([config.index], config.out)
        emit(Planned(header.rows))

        def rows() -> Iterator[Block]:
            for segment in header.segments:
                for block in blocks(config.index, header, segment):
                    yield replace(block, keys=_other_keys(block.keys), vectors=mapped(block.vectors, matrix))
                    emit(Done(str(config.index), count=len(block.keys)))

        writer = Writer(config.out, new.size, how, header.next_id, emit)
        changed(writer, new, [], rows, header.rows)
        for words in join([config.index], config.out):
            emit(Note(words))
        settle(config.out, writer.header(new))
    return MigrateReport(index=str(config.out), rows=header.rows, model=new.model, **measured)


@dataclass(frozen=True, slots=True, eq=False)
class _Faces:
    """The faces of two stores: vectors (n, A) and (n, B), and whose they are (n,)."""

    old: StoreHeader
    new: StoreHeader
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    people: NDArray[np.int64]


def _common(old: Path, new: Path) -> _Faces:
    with Store(old) as one, Store(new) as other:
        if one.header.model_id == other.header.model_id and one.header.flip == other.header.flip:
            raise CosfaceError("both stores are of one model", new, "give the old model's store and the new one's")
        keys, names = _faces_of(one)
        others, _ = _faces_of(other)
        _, at, there = np.intersect1d(keys, others, return_indices=True)
        order = np.argsort(at)
        at, there = at[order], there[order]
        people: dict[str, int] = {}
        numbers = np.array([people.setdefault(names[i], len(people)) for i in at], np.int64)
        return _Faces(one.header, other.header, _vectors(one, at), _vectors(other, there), numbers)


def _faces_of(store: Store) -> tuple[NDArray[np.bytes_], list[str]]:
    """What tells each face, and whose it is; a face without identity is somebody of its own."""
    keys, names = [np.zeros(0, f"S{FACE_KEY - SOURCE_KEY}")], []
    for low in range(0, len(store), BLOCK):
        columns = store.columns(low, min(low + BLOCK, len(store)))
        keys.append(faces_of(columns.keys()))
        table, codes = columns.tables["identity"], columns.codes["identity"]
        names += [decode(table[c]) if c >= 0 else f"\0{low + i}" for i, c in enumerate(codes)]
    return np.concatenate(keys), names


def _vectors(store: Store, numbers: NDArray[np.int64]) -> NDArray[np.float32]:
    out = np.empty((len(numbers), store.header.size), np.float32)
    for low in range(0, len(store), BLOCK):
        own = np.flatnonzero((numbers >= low) & (numbers < low + BLOCK))
        if len(own):
            out[own] = store.vectors(low, min(low + BLOCK, len(store)))[numbers[own] - low]
    return out


def _learned(faces: _Faces, config: MigrateConfig) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """The map, and what was measured on people that it was not learned on."""
    count = int(faces.people.max()) + 1 if len(faces.people) else 0
    order = np.random.default_rng(0).permutation(count)
    share = np.empty(count)
    share[order] = (np.arange(count) + 0.5) / max(1, count)
    fit = share[faces.people] < _FIT
    choose = ~fit & (share[faces.people] < _FIT + _CHOOSE)
    rest = ~fit & ~choose
    if not choose.any() or not rest.any() or fit.sum() < 10:
        problem = f"only {len(faces.people)} faces of {count} people are also in {config.old}"
        raise CosfaceError(problem, config.new, "embed the same crops by both models, of some hundred people")
    scored = []
    for strength in RIDGES:
        matrix = ridge(faces.x[fit], faces.y[fit], strength)
        scored.append((float((mapped(faces.x[choose], matrix) * faces.y[choose]).sum(1).mean()), strength, matrix))
    _, strength, matrix = max(scored, key=lambda one: one[0])
    moved = mapped(faces.x[rest], matrix)
    people, new = faces.people[rest], faces.y[rest]
    return matrix, {
        "fitted": int(fit.sum()),
        "held_out": int(rest.sum()),
        "ridge": strength,
        "cos": round(float((moved * new).sum(1).mean()), 4),
        "rank1": _rounded(rank1(new, moved, people)),
        "rank1_new": _rounded(rank1(new, new, people)),
        "rank1_old": _rounded(rank1(faces.x[rest], faces.x[rest], people)),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _other_keys(keys: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """Keys of the same faces that no store's row has, so that the new model's own vectors take their place."""
    digits = np.array(np.ascontiguousarray(keys).view(np.uint8).reshape(len(keys), KEY))
    digits[:, FACE_KEY:] ^= 0xFF
    return digits.view(f"S{KEY}").reshape(-1)


def _words(measured: dict[str, Any], model: str) -> str:
    words = f"on {measured['held_out']} faces of people that the map was not learned on, a mapped vector has cosine "
    words += f"{measured['cos']:.3f} to that of {model}"
    if measured["rank1"] is None:
        return words
    return (
        words
        + f"; the nearest other face is the same person's for {measured['rank1']:.1%}, with {model}'s own "
        + (f"vectors for {measured['rank1_new']:.1%}")
    )
