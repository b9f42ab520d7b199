"""Stores to an index: streamed block by block, doubles left out, settled in one step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts import atomic
from cosface_cli.artifacts.hdf5 import CHUNK
from cosface_cli.artifacts.index_files import IndexHeader, RowsFile, require_own, settle
from cosface_cli.artifacts.rows import Row
from cosface_cli.artifacts.store import Store
from cosface_cli.artifacts.store_series import common_header
from cosface_cli.engines.search import SEARCHERS, Search
from cosface_cli.index import BuildConfig, BuildReport
from cosface_cli.outcomes import Done, Note, Planned, Rejected, Tell, ignore

ENGINE = "flat"
UNIT = 1e-3  # how far from 1 the length of a stored vector may be


def build(config: BuildConfig, tell: Tell = ignore) -> BuildReport:
    """Build an index of all rows of the stores; the old one, if any, stands until the new one is whole.

    A row that is not finite or not of unit length is rejected by name; one that stands twice (same file, face and
    content) is taken once. Raises ModelMismatch for stores of different models.
    """
    header = common_header(config.stores)
    engine: Search = SEARCHERS.load(ENGINE)
    atomic.make_folder(config.index)
    require_own(config.index)
    with atomic.lock(config.index / "index.json"), atomic.told(config.index):
        vectors, names = (atomic.partial(config.index / name) for name in ("index", "rows"))
        source = _Source(config.stores, tell)
        try:
            with RowsFile(names) as rows:
                engine.build(header.size, source.blocks(rows), vectors)
        except BaseException:
            for path in (vectors, names):
                path.unlink(missing_ok=True)
            raise
        count = rows.count
        settle(
            config.index,
            vectors,
            names,
            lambda vectors_file, names_file, checksums: IndexHeader(
                engine=ENGINE,
                model=header.model,
                model_id=header.model_id,
                template=header.template,
                flip=header.flip,
                size=header.size,
                rows=count,
                vectors=vectors_file,
                names=names_file,
                checksums=checksums,
                stores=[str(path) for path in config.stores],
            ),
        )
    if source.doubles:
        tell(Note(f"{source.doubles} rows stood in the stores more than once and were taken once"))
    return BuildReport(str(config.index), count, source.doubles, len(source.identities), ENGINE, header.model)


class _Source:
    """The rows of the stores in order, each once. doubles, identities: what was seen on the way."""

    def __init__(self, stores: tuple[Path, ...], tell: Tell) -> None:
        self.stores = stores
        self.tell = tell
        self.doubles = 0
        self.identities: set[str] = set()
        self._seen: set[tuple[str, str, int, str]] = set()

    def blocks(self, rows: RowsFile) -> Iterator[NDArray[np.float32]]:
        """Blocks of vectors (n, D); their rows go to `rows`."""
        sizes = []
        for path in self.stores:
            with Store(path) as store:
                sizes.append(len(store))
        self.tell(Planned(sum(sizes)))
        for path in self.stores:
            with Store(path) as store:
                for low in range(0, len(store), CHUNK):
                    high = min(low + CHUNK, len(store))
                    vectors = store.vectors(low, high)
                    taken = [
                        self._take(row, vector, path, rows)
                        for row, vector in zip(store.rows(low, high), vectors, strict=True)
                    ]
                    yield vectors[np.array(taken, bool)]

    def _take(self, row: Row, vector: NDArray[np.float32], path: Path, rows: RowsFile) -> bool:
        key = (row.root, row.source, row.face, row.hash)
        if key in self._seen:
            self.doubles += 1
            return False
        self._seen.add(key)
        length = float(np.linalg.norm(vector.astype(np.float64)))
        if not abs(length - 1.0) <= UNIT:  # also where it is not a number
            words = f"{path}: the embedding of {row.source} has length {length:g}, not 1; embed it again"
            self.tell(Rejected(row.source, "bad_embedding", words))
            return False
        if row.identity is not None:
            self.identities.add(row.identity)
        rows.add(row)
        self.tell(Done(row.source))
        return True
