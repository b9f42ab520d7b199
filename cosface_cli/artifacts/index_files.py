"""The index folder: index.json says what it is and which files hold it; those are never changed, only replaced.

A build writes new files under names that carry their checksum and then, in one rename, the index.json that names them;
until then the old index stands, and afterwards files that it does not name are taken away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType

import h5py

from cosface_cli.artifacts import atomic
from cosface_cli.artifacts.hdf5 import CHUNK, NewFile, check_plain, damage_told, write_attribute
from cosface_cli.artifacts.model_cache import file_sha256
from cosface_cli.artifacts.rows import Row, RowColumns, RowReader
from cosface_cli.errors import CosfaceError

SCHEMA = 1
KIND = "cosface index"
MAIN = "index.json"
_OWN = re.compile(r"index\.[0-9a-f]{12}\.faiss|rows\.[0-9a-f]{12}\.h5|\.(index|rows)\.part")
_MEND = "build it again: cosface index build"


@dataclass(frozen=True, slots=True)
class IndexHeader:
    """engine: how it searches; metric: "cos"; model, model_id, template, flip, size: of the embeddings, as in a store;
    rows: how many; vectors, names: its two files; checksums: their SHA-256; stores: what it was built from."""

    engine: str
    model: str
    model_id: str
    template: str
    flip: str
    size: int
    rows: int
    vectors: str
    names: str
    checksums: dict[str, str]
    stores: list[str]
    metric: str = "cos"
    kind: str = KIND
    schema: int = SCHEMA


class RowsFile:
    """Writes the rows of an index one by one, as a context manager; count: how many."""

    def __init__(self, path: Path) -> None:
        self._new = NewFile(path)
        self._columns = RowColumns(self._new.h5)
        self._waiting: list[Row] = []
        self.count = 0

    def add(self, row: Row) -> None:
        self._waiting.append(row)
        self.count += 1
        if len(self._waiting) == CHUNK:
            self._flush()

    def __enter__(self) -> RowsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            try:
                self._flush()
                self._columns.finish()
                write_attribute(self._new.h5, "kind", f"{KIND} rows")
                write_attribute(self._new.h5, "rows", self.count)
            except BaseException as late:
                self._new.__exit__(type(late), late, None)
                raise
        self._new.__exit__(kind, error, at)

    def _flush(self) -> None:
        if self._waiting:
            self._columns.append(self._waiting)
            self._waiting = []
            self._new.require_room()


def settle(root: Path, vectors: Path, names: Path, header: Callable[[str, str, dict[str, str]], IndexHeader]) -> None:
    """Make two finished files (in root, under passing names) the index, in one step."""
    checksums: dict[str, str] = {}
    placed = []
    for path, stem in ((vectors, "index.{}.faiss"), (names, "rows.{}.h5")):
        digest = file_sha256(path)
        name = stem.format(digest[:12])
        path.replace(root / name)
        checksums[name] = digest
        placed.append(name)
    text = json.dumps(asdict(header(placed[0], placed[1], checksums)), indent=1, sort_keys=True) + "\n"
    atomic.write_text(root / MAIN, text)
    sweep(root, set(placed))


def sweep(root: Path, named: set[str]) -> None:
    """Take away files of earlier builds, known by the shape of their names: what else lies there is not ours."""
    for path in root.iterdir():
        if _OWN.fullmatch(path.name) and path.name not in named:
            with suppress(OSError):
                path.unlink()


def require_own(root: Path) -> None:
    """Raises CosfaceError for a folder that holds other things than an index."""
    strangers = sorted(p.name for p in root.iterdir() if p.name != MAIN and not _OWN.fullmatch(p.name))
    strangers = [name for name in strangers if not name.startswith(".")]
    if strangers and not (root / MAIN).is_file():
        raise CosfaceError(f"the folder holds other things ({strangers[0]})", root, "give a new folder for the index")


def read_header(root: Path) -> IndexHeader:
    """What an index folder says of itself. Raises CosfaceError for another kind of folder or a newer schema."""
    path = root / MAIN
    if not path.is_file():
        raise CosfaceError("no index here", root, "build one: cosface index build STORE " + str(root))
    try:
        found = json.loads(path.read_text("utf-8", "surrogateescape"))
        if found.get("kind") != KIND:
            raise CosfaceError("not a cosface index", path, "give a folder written by cosface index build")
        if int(found["schema"]) > SCHEMA:
            raise CosfaceError("this index was written by a newer cosface", path, "pip install -U cosface")
        header = IndexHeader(**{f.name: found[f.name] for f in fields(IndexHeader)})
        if any(not name or "/" in name or name.startswith(".") for name in (header.vectors, header.names)):
            raise ValueError("a file outside the folder")
        texts = (header.engine, header.model, header.model_id, header.template, header.flip)
        if not all(isinstance(text, str) for text in texts) or header.size < 1 or header.rows < 0:
            raise ValueError("a field of another kind")
        if header.metric != "cos":
            raise ValueError("scores of another metric")
        return header
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise CosfaceError("damaged index", path, _MEND) from error


class IndexRows:
    """The rows of an index, read one by one; use as a context manager."""

    def __init__(self, path: Path, count: int) -> None:
        """Raises DamagedError for a file that is missing, damaged or from elsewhere."""
        with damage_told(path, _MEND):
            self._file = h5py.File(path, "r", locking=False)
            try:
                check_plain(self._file, path.stat().st_size)
                self._rows = RowReader(self._file, count, _MEND)
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> IndexRows:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def __getitem__(self, number: int) -> Row:
        return self._rows[number]

    def __iter__(self) -> Iterator[Row]:
        return self._rows.between(0, len(self._rows))
