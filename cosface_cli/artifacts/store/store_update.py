"""Adding to a store: results go to a journal beside it, and at intervals the store and the journal become a new store.

So the store is a complete file at every moment, readers never block a writer, and after kill -9 everything in the
journal is still used. The new store is written from the beginning in the order of the sources, so that its bytes do not
depend on interruptions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.hdf5 import damage_errors
from cosface_cli.artifacts.files.journal import Journal
from cosface_cli.artifacts.model_identity import as_flip, as_precision
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, StoreHeader, write_store
from cosface_cli.errors import DamagedError, ModelMismatch

_PUBLISH = 1024  # number of new rows after which the store is first written; later whenever its rows have doubled

Key = tuple[str, str]  # root, source


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedResult:
    """The saved result of a source."""

    hash: str
    """SHA-256 of its file."""
    size: int
    """Bytes of its file."""
    mtime_ns: int
    """Modification time of its file."""
    settings: str
    """Detector and settings that found its faces."""
    reason: str | None
    """Code of the rejection; None if there are embeddings."""
    words: str
    """The rejection as a sentence."""
    rows: int
    """Number of its embeddings."""
    start: int
    """Its first row in the store; -1 if it is in the journal."""
    offset: int
    """Offset of its record in the journal; -1 if it is in the store."""


def journal_of(store: Path) -> Path:
    """The path of a store's journal, which exists while a run adds to the store."""
    return store.with_name(f".{store.name}.journal")


class StoreUpdate:
    """A store open for adding; the caller must hold its lock. results: by root and source, in the store's order."""

    def __init__(self, path: Path, header: StoreHeader) -> None:
        """Raises ModelMismatch if the store, or the journal of an interrupted run, has another model, template, flip or
        precision.

        A damaged store is renamed (see moved_aside); a file of another kind is an error.
        """
        self.path = path
        self.header = header
        self.results: dict[Key, SavedResult] = {}
        self.moved_aside: Path | None = None
        self._fresh = 0
        self._dropped = False
        self._store = self._open()
        with ExitStack() as on_error:
            if self._store is not None:
                on_error.callback(self._store.close)
            self._journal = Journal(journal_of(path), _purpose(header), self._fits)
            on_error.pop_all()
        self._read_journal()

    def add(
        self, rows: Sequence[FaceRow], vectors: NDArray[np.float32], result: SavedResult, key: Key, order: Iterable[Key]
    ) -> None:
        """Save the result of a source: rows with their vectors, or a reject.

        order: all sources of this run, in case the store is written now.
        """
        offset = self._journal.append(_packed(rows, vectors, result, key))
        self.results[key] = _moved(result, -1, offset)
        self._fresh += len(rows)
        if self._fresh >= max(_PUBLISH, len(self._store) if self._store is not None else 0):
            self.publish(order)

    def drop(self, keys: Iterable[Key]) -> None:
        """Remove sources and their rows. They leave the store when it is published."""
        for key in keys:
            del self.results[key]
            self._dropped = True

    def publish(self, order: Iterable[Key]) -> int:
        """Write the store: first the sources not in `order`, then those of `order`. Returns the number of rows."""
        ordered = dict.fromkeys(order)
        keys = [key for key in self.results if key not in ordered] + [key for key in ordered if key in self.results]
        rejects = [
            {"root": key[0], "source": key[1], **{n: getattr(self.results[key], n) for n in _REJECT_FIELDS}}
            for key in keys
            if self.results[key].reason is not None
        ]
        count = write_store(self.path, self.header, self._rows(keys), rejects)
        if self._store is not None:
            self._store.close()
        self._store = Store(self.path)
        start = 0
        for key in keys:  # from now on they are read from the store
            self.results[key] = _moved(self.results.pop(key), start, -1)
            start += self.results[key].rows
        self._journal.remove()
        self._journal = Journal(self._journal.path, _purpose(self.header))
        self._fresh = 0
        self._dropped = False
        return count

    @property
    def has_changes(self) -> bool:
        """Whether the store must be written: the journal has results, or sources were dropped."""
        return self._dropped or any(result.offset >= 0 for result in self.results.values())

    def close(self) -> None:
        """Close store and journal; a journal without new results is deleted."""
        if self._store is not None:
            self._store.close()
        if self.has_changes:
            self._journal.close()
        else:
            self._journal.remove()

    def _open(self) -> Store | None:
        if not self.path.exists() or self.path.stat().st_size == 0:
            return None
        try:
            with ExitStack() as on_error:
                store = on_error.enter_context(Store(self.path))
                store.model.require_same(self.header.identity, self.path, _OTHER_MODEL)
                self._read_store(store)
                on_error.pop_all()
                return store
        except DamagedError:
            self.results.clear()
            self.moved_aside = _free_name(self.path.with_name(f"{self.path.name}.broken"))
            self.path.replace(self.moved_aside)
            return None

    def _read_store(self, store: Store) -> None:
        for start, row in enumerate(store.rows()):
            key = (row.root, row.source)
            before = self.results.get(key)
            if before is not None:
                self.results[key] = _moved(before, before.start, -1, before.rows + 1)
            else:
                self.results[key] = SavedResult(
                    hash=row.hash,
                    size=row.size,
                    mtime_ns=row.mtime_ns,
                    settings=row.settings,
                    reason=None,
                    words="",
                    rows=1,
                    start=start,
                    offset=-1,
                )
        for reject in store.rejects():
            with damage_errors(self.path, "embed again"):
                fields = {name: reject[name] for name in _REJECT_FIELDS}
                self.results[reject["root"], reject["source"]] = SavedResult(**fields, rows=0, start=0, offset=-1)

    def _fits(self, purpose: bytes) -> bool:
        try:
            written = StoreHeader(**json.loads(purpose)).identity
            as_flip(str(written.flip)), as_precision(str(written.precision))
        except (ValueError, TypeError):  # written by a version with another format
            return False
        try:
            written.require_same(self.header.identity, self.path, _OTHER_MODEL)
        except ModelMismatch as error:
            problem = f"an interrupted run left a part of it: {error.problem}"
            hint = f"{error.hint}, or delete {journal_of(self.path).name}"
            raise ModelMismatch(problem, self.path, hint) from None
        return True  # the same model under another name

    def _read_journal(self) -> None:
        records = iter(self._journal)
        next(records)
        for offset, content in records:
            key, result, _, _ = _unpacked(content, self.header.size)
            self.results[key] = _moved(result, -1, offset)
            self._fresh += result.rows

    def _rows(self, keys: Sequence[Key]) -> Iterator[tuple[FaceRow, NDArray[np.float32]]]:
        start = stop = 0  # successive rows of the old store are read together
        for key in keys:
            result = self.results[key]
            if result.offset < 0 and result.start == stop:
                stop += result.rows
                continue
            yield from self._old_rows(start, stop)
            start = stop = result.start if result.offset < 0 else 0
            stop += result.rows if result.offset < 0 else 0
            if result.offset >= 0:
                _, _, rows, vectors = _unpacked(self._journal.read(result.offset), self.header.size)
                yield from zip(rows, vectors, strict=True)
        yield from self._old_rows(start, stop)

    def _old_rows(self, start: int, stop: int) -> Iterator[tuple[FaceRow, NDArray[np.float32]]]:
        if start < stop and self._store is not None:
            yield from self._store.pairs(start, stop)


_OTHER_MODEL = "use the store's --model, --flip and --precision, or a new store"
_RESULT_FIELDS = tuple(field.name for field in fields(SavedResult))
_ROW_FIELDS = tuple(field.name for field in fields(FaceRow))
_REJECT_FIELDS = ("hash", "size", "mtime_ns", "settings", "reason", "words")


def _free_name(path: Path) -> Path:
    """The path; with a number appended if it exists."""
    names = (path, *(path.with_name(f"{path.name}.{number}") for number in range(2, 1000)))
    return next(name for name in names if not name.exists())


def _moved(result: SavedResult, start: int, offset: int, rows: int | None = None) -> SavedResult:
    return replace(result, start=start, offset=offset, rows=result.rows if rows is None else rows)


def _values(record: FaceRow | SavedResult) -> list[object]:
    return [getattr(record, field.name) for field in fields(record)]


def _purpose(header: StoreHeader) -> bytes:
    return json.dumps(asdict(header), sort_keys=True).encode()


def _packed(rows: Sequence[FaceRow], vectors: NDArray[np.float32], result: SavedResult, key: Key) -> bytes:
    # lists of values, not asdict, which copies deeply: this runs for every face
    values = {"key": key, "known": _values(result), "rows": [_values(row) for row in rows]}
    text = json.dumps(values).encode()
    return len(text).to_bytes(4, "little") + text + np.ascontiguousarray(vectors, "<f4").tobytes()


def _unpacked(content: bytes, size: int) -> tuple[Key, SavedResult, list[FaceRow], NDArray[np.float32]]:
    length = int.from_bytes(content[:4], "little")
    values: dict[str, Any] = json.loads(content[4 : 4 + length])
    rows = [_face_row(row) for row in values["rows"]]
    vectors = np.frombuffer(content[4 + length :], "<f4").reshape(-1, size)
    root, source = values["key"]
    return (root, source), SavedResult(**dict(zip(_RESULT_FIELDS, values["known"], strict=True))), rows, vectors


def _face_row(values: list[Any]) -> FaceRow:
    named = dict(zip(_ROW_FIELDS, values, strict=True))
    return FaceRow(**{**named, "box": tuple(named["box"])})
