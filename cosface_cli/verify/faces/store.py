"""Faces from stores instead of photos: rows by the names of their files, of one store or of several models' stores."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.artifacts.store.store_file import Store, StoreHeader
from cosface_cli.engines.models.ensemble import fused, joined_identity
from cosface_cli.engines.photos.face_vectors import Vectors
from cosface_cli.engines.photos.photo_options import Fuse
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.unit_vectors import are_unit
from cosface_cli.verify.compare.photo_warnings import Seen


class Stores:
    """Stores of the same photos by different models, or one store. Use as a context manager."""

    def __init__(self, paths: Sequence[Path], fuse: Fuse, choice: str) -> None:
        """Raises CosfaceError for stores of different flips or of one model, and for a choice that rows cannot tell."""
        if choice == "center":
            raise CosfaceError(
                "a store does not say where the middle of a photo is", hint="take --faces largest or all"
            )
        self._choice, self._fuse = choice, fuse
        self.paths = tuple(paths)
        self._close = ExitStack()
        self._stores = [self._close.enter_context(Store(path)) for path in paths]
        headers = [store.header for store in self._stores]
        for path, header in zip(paths[1:], headers[1:], strict=True):
            if header.flip != headers[0].flip:
                problem = f"written with --flip {header.flip}, {paths[0]} with --flip {headers[0].flip}"
                raise CosfaceError(problem, path, "embed them alike")
        self.headers = headers
        self.identity = joined_identity([header.identity for header in headers], fuse)

    def __enter__(self) -> Stores:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close.close()

    def __len__(self) -> int:
        return len(self._stores[0])

    def require_alike(self, header: StoreHeader, path: Path) -> None:
        """Raises ModelMismatch for another store whose rows cannot be compared with the first one's."""
        first = self.headers[0]
        if (header.model_id, header.flip, header.size) != (first.model_id, first.flip, first.size):
            held = f"embeddings of {header.model} ({header.model_id}) with --flip {header.flip}"
            have = f"{self.paths[0]} has {first.model} ({first.model_id}) with --flip {first.flip}"
            raise ModelMismatch(f"{held}; {have}", path, "embed them alike")

    def find(self, names: Iterable[str]) -> dict[str, Seen]:
        """What the rows of each name hold: of a photo by its name in the store, or by its path."""
        wanted = dict.fromkeys(names)
        paths = {os.path.abspath(name): name for name in wanted}  # noqa: PTH100
        kept: list[dict[str, list[tuple[Row, NDArray[np.float32]]]]] = []
        for store in self._stores:
            own: dict[str, list[tuple[Row, NDArray[np.float32]]]] = {}
            for number, row in enumerate(store.rows()):
                name = row.source if row.source in wanted else paths.get(os.path.join(row.root, row.source))  # noqa: PTH118
                if name is not None:
                    own.setdefault(name, []).append((row, store.vectors(number, number + 1)[0]))
            kept.append(own)
        return {name: self._seen(name, [own.get(name, []) for own in kept]) for name in wanted}

    def each(self) -> Iterator[Seen]:
        """Every row of the first store, with its counterparts, one face at a time."""
        if len(self._stores) == 1:
            for row, vector in self._stores[0].pairs():
                yield self._seen(row.source, [[(row, vector)]])
            return
        others = [{(row.source, row.face): n for n, row in enumerate(store.rows())} for store in self._stores[1:]]
        for row, vector in self._stores[0].pairs():
            parts = [[(row, vector)]]
            for store, places in zip(self._stores[1:], others, strict=True):
                n = places.get((row.source, row.face))
                parts.append([] if n is None else [(next(store.rows(n, n + 1)), store.vectors(n, n + 1)[0])])
            yield self._seen(row.source, parts)

    def _seen(self, name: str, parts: Sequence[list[tuple[Row, NDArray[np.float32]]]]) -> Seen:
        results = [self._vectors(name, store, rows) for store, rows in zip(self._stores, parts, strict=True)]
        crops = parts[0][0][0].settings.partition("crops template=")[2] if parts[0] else ""
        return Seen(name, fused(results, self._fuse), crops or self.headers[0].template, self._choice)

    def _vectors(self, name: str, store: Store, rows: list[tuple[Row, NDArray[np.float32]]]) -> Vectors:
        if not rows:
            return Vectors(
                hash="", size=0, mtime_ns=0, reason="not_in_store", words=f"{store.path}: no row is of {name}"
            )
        found = len(rows)
        if self._choice == "largest":
            rows = [max(rows, key=lambda pair: _area(pair[0]))]
        vectors = np.stack([vector for _, vector in rows])
        if not are_unit(vectors).all():
            words = f"{store.path}: the embedding of {name} has not length 1; embed it again"
            return Vectors(hash=rows[0][0].hash, size=0, mtime_ns=0, reason="bad_embedding", words=words)
        faces = tuple((row.box, row.score, row.sharpness) for row, _ in rows)
        return Vectors(hash=rows[0][0].hash, size=0, mtime_ns=0, faces=faces, vectors=vectors, found=found)


def _area(row: Row) -> float:
    left, top, right, bottom = row.box
    return (right - left) * (bottom - top)
