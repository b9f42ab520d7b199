"""Several stores to one, with each source once. The same stores give the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, write_store
from cosface_cli.artifacts.store.store_series import common_header, require_finished
from cosface_cli.embed import MergeConfig, MergeReport
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.outcomes import Done, OnOutcome, Planned, Skipped, ignore


def merge(config: MergeConfig, emit: OnOutcome = ignore) -> MergeReport:
    """Write the rows and rejects of all stores to config.out, in the order of the stores.

    A source (root and name) that is in several stores is taken from the last store that has rows of it. If none has
    rows, it is taken from the last store that rejected it. Memory holds a digest of each source. Raises ModelMismatch
    for stores of different models, CosfaceError if an interrupted run was filling a store, or if config.out is an
    existing file that is not one of the stores.
    """
    header = common_header(config.stores, one_precision=True)
    for path in config.stores:
        require_finished(path)
    atomic.make_folder(config.out.parent)
    with atomic.lock(config.out):
        if config.out.exists() and not any(path.exists() and path.samefile(config.out) for path in config.stores):
            hint = "also give it as one of the stores to keep its rows, or choose another file"
            raise CosfaceError("this file exists", config.out, hint)
        require_finished(config.out)
        owners = _Owners(config.stores)
        emit(Planned(owners.rows))
        rejects = list(owners.rejected())
        rows = write_store(config.out, header, owners.pairs(emit), rejects)
    return MergeReport(
        store=str(config.out), rows=rows, rejects=len(rejects), doubles=owners.doubles, changed=owners.changed
    )


class _Owners:
    """The store that each source is taken from. rows: of all stores; doubles, changed: see MergeReport."""

    def __init__(self, stores: tuple[Path, ...]) -> None:
        self.stores = stores
        self.rows = self.doubles = self.changed = 0
        self._rows: dict[bytes, tuple[int, bytes]] = {}  # by source: number of the store, digest of the content
        self._rejects: dict[bytes, int] = {}
        for number, path in enumerate(stores):
            with Store(path) as store:
                self.rows += len(store)
                for _, faces in groupby(store.rows(), key=lambda row: (row.root, row.source)):
                    self._take(next(faces), number)
                for reject in store.rejects():
                    self._rejects[_source(reject, path)] = number

    def pairs(self, emit: OnOutcome) -> Iterator[tuple[FaceRow, NDArray[np.float32]]]:
        """Rows with their vectors, each source from its owner."""
        for number, path in enumerate(self.stores):
            with Store(path) as store:
                for row, vector in store.pairs():
                    if self._rows.get(_digest(row.root, row.source), (-1,))[0] != number:
                        emit(Skipped(row.source))
                        continue
                    yield row, vector
                    emit(Done(row.source))

    def rejected(self) -> Iterator[dict[str, object]]:
        """Rejects of sources without rows in any store, each from its owner."""
        for number, path in enumerate(self.stores):
            with Store(path) as store:
                for reject in store.rejects():
                    key = _source(reject, path)
                    if key not in self._rows and self._rejects[key] == number:
                        yield reject

    def _take(self, row: FaceRow, number: int) -> None:
        key = _digest(row.root, row.source)
        content = _digest(row.hash, row.settings)
        before = self._rows.get(key)
        if before is not None:
            same = before[1] == content
            self.doubles += same
            self.changed += not same
        self._rows[key] = (number, content)


def _source(reject: Mapping[str, Any], path: Path) -> bytes:
    try:
        return _digest(reject["root"], reject["source"])
    except (KeyError, TypeError, AttributeError):
        raise DamagedError("a reject has no source", path, "embed again into a new store") from None


def _digest(*parts: str) -> bytes:
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=16).digest()
