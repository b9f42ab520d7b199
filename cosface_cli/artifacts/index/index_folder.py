"""The index folder: index.json says what it is and which files hold it; those are never changed, only replaced.

An index is a row of segments; what is added later is a segment more. A run writes new files under names that carry
their checksum and then, in one rename, the index.json that names them; until then the old index stands, and afterwards
files that it does not name are taken away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.index.vector_file import REBUILD_HINT
from cosface_cli.artifacts.model_identity import Flip, ModelIdentity, as_flip
from cosface_cli.errors import CosfaceError, DamagedError

SCHEMA = 1
KIND = "cosface index"
MAIN = "index.json"
_OWN = re.compile(
    r"vectors\.[0-9a-f]{12}\.npy|lists\.[0-9a-f]{12}\.faiss|rows\.[0-9a-f]{12}\.h5|\.(vectors|lists|rows|packed)\.part"
)


@dataclass(frozen=True, slots=True)
class FileSum:
    """Length and checksum of a file."""

    bytes: int
    """Its length."""
    sha256: str
    """SHA-256 of its content, in hex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of the rows, in their order, with its own files."""

    rows: int
    """How many rows it has."""
    vectors: str
    """File of the vectors."""
    names: str
    """File of the other columns."""
    search: str = "flat"
    """The row of SEARCHERS that searches it."""
    lists: str | None = None
    """The file, or the collection on a server, that the engine needs; None for exact search."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the engine, and the measured recall."""

    @property
    def files(self) -> tuple[str, ...]:
        """Those of its files that lie in the folder."""
        own = self.lists if self.lists is not None and _OWN.fullmatch(self.lists) else None
        return (self.vectors, self.names, *([own] if own else []))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexHeader:
    """The content of index.json."""

    engine: str
    """faiss, or milvus at `uri`."""
    model: str
    """Name of the model."""
    model_id: str
    """Hash of what decides its vectors."""
    template: str
    """Geometry of the crops that it takes."""
    flip: Flip
    """none, sum or concat."""
    size: int
    """Numbers of an embedding."""
    rows: int
    """How many rows it has."""
    next_id: int
    """The id of the next new row: above all ids that were ever given."""
    segments: tuple[Segment, ...]
    """Where the rows are, in order."""
    files: dict[str, FileSum]
    """Length and checksum of each file, by name."""
    stores: tuple[str, ...]
    """The stores that it was built from."""
    uri: str | None = None
    """Address of the Milvus server."""
    mapped: dict[str, Any] | None = None
    """If the vectors were mapped from those of another model: which model, and how exact the map is."""
    metric: str = "cos"
    """cos: a larger score is closer."""
    kind: str = KIND
    """Always KIND."""
    schema: int = SCHEMA
    """Version of the format."""

    @property
    def identity(self) -> ModelIdentity:
        """The model whose embeddings the index holds, in any precision."""
        return ModelIdentity(name=self.model, id=self.model_id, template=self.template, flip=self.flip, size=self.size)


def add_file(root: Path, path: Path, pattern: str) -> tuple[str, FileSum]:
    """Rename a finished temporary file of root to its final name, which carries its checksum (pattern: "rows.{}.h5").
    Nothing refers to it yet."""
    digest = file_sha256(path)
    name = pattern.format(digest[:12])
    length = path.stat().st_size
    path.replace(root / name)
    return name, FileSum(length, digest)


def publish_index_json(root: Path, header: IndexHeader) -> None:
    """Make the files that a header names the index, in one rename, and remove the files of earlier states."""
    text = json.dumps(asdict(header), indent=1, sort_keys=True) + "\n"
    atomic.write_text(root / MAIN, text)
    sweep(root, set(header.files))


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
    """What an index folder says of itself. Raises CosfaceError for another kind of folder or a newer schema,
    DamagedError where it is damaged."""
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
        return _checked(header)
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError) as error:
        raise DamagedError("damaged index", path, REBUILD_HINT) from error


def require_whole(root: Path, header: IndexHeader) -> None:
    """Raises DamagedError where a file is missing or of another length; its content is checked by check_sums."""
    for name, held in header.files.items():
        try:
            length = (root / name).stat().st_size
        except OSError as error:
            raise DamagedError(f"cannot be read ({error.strerror})", root / name, REBUILD_HINT) from error
        if length != held.bytes:
            raise DamagedError(f"{length} bytes long, not {held.bytes}", root / name, REBUILD_HINT)


def check_sums(root: Path, header: IndexHeader) -> list[str]:
    """The files whose content is not what was written."""
    require_whole(root, header)
    return [name for name, held in header.files.items() if file_sha256(root / name) != held.sha256]


def _checked(header: IndexHeader) -> IndexHeader:
    """The header with its parts as what they are. Raises ValueError, TypeError or KeyError where it is none of ours."""
    segments = tuple(_made(Segment, values) for values in header.segments)
    files = {name: _made(FileSum, values) for name, values in header.files.items()}
    texts = (header.engine, header.model, header.model_id, header.template, header.flip)
    if not all(isinstance(text, str) for text in (*texts, *header.stores, header.uri or "")):
        raise ValueError("a field of another kind")
    as_flip(header.flip)
    numbers = (header.size, header.rows, header.next_id, *(segment.rows for segment in segments))
    if not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in (*numbers, *(held.bytes for held in files.values()))):
        raise ValueError("a number that cannot be")
    if header.size < 1 or header.size > 1 << 20 or sum(segment.rows for segment in segments) != header.rows:
        raise ValueError("numbers that do not fit")
    named = [name for segment in segments for name in segment.files]
    if set(named) != set(files) or len(named) != len(files) or not all(_OWN.fullmatch(name) for name in named):
        raise ValueError("files that are not its own")
    if header.metric != "cos" or not all(isinstance(segment.settings, dict) for segment in segments):
        raise ValueError("scores of another metric")
    values = {f.name: getattr(header, f.name) for f in fields(IndexHeader)}
    return IndexHeader(**{**values, "segments": segments, "files": files, "stores": tuple(header.stores)})


def _made(kind: Callable[..., Any], values: Any) -> Any:
    made = kind(**values)
    texts = [made.vectors, made.names, made.search, made.lists or ""] if kind is Segment else [made.sha256]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a field of another kind")
    return made
