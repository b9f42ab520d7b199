"""The index folder: index.json describes the index and names its files. The files are never changed, only replaced.

An index is a sequence of segments; rows that are added later form a new segment. A run writes new files, whose names
contain their checksum. Then one rename publishes the index.json that names them. Until then the old index is valid;
afterwards the files that index.json does not name are deleted.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.index.vector_file import REBUILD_HINT
from cosface_cli.artifacts.model_identity import Flip, ModelIdentity, as_flip
from cosface_cli.errors import CosfaceError, DamagedError

SCHEMA = 1
KIND = "cosface index"
MAIN = "index.json"
_FILE_NAME = re.compile(  # of files of an index, also temporary ones
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
    """A part of an index: successive rows with their own files."""

    rows: int
    """Number of rows."""
    vectors: str
    """Name of the file of the vectors."""
    names: str
    """Name of the file of the other columns."""
    search: str = "flat"
    """Name of the search engine in SEARCHERS."""
    lists: str | None = None
    """Name of the engine's file, or of its collection on a server; None for exact search."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of the engine, and the measured recall."""

    @property
    def files(self) -> tuple[str, ...]:
        """Names of its files in the folder."""
        lists = [self.lists] if self.lists is not None and _FILE_NAME.fullmatch(self.lists) else []
        return (self.vectors, self.names, *lists)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexHeader:
    """The content of index.json."""

    engine: str
    """faiss, or milvus at `uri`."""
    model: str
    """Name of the model."""
    model_id: str
    """Hash of everything that decides its vectors."""
    template: str
    """Geometry of the crops that the model takes."""
    flip: Flip
    """none, sum or concat."""
    size: int
    """Dimension D of an embedding."""
    rows: int
    """Number of rows."""
    next_id: int
    """The id of the next new row: above all ids that were ever used."""
    segments: tuple[Segment, ...]
    """The segments, in the order of the rows."""
    files: dict[str, FileSum]
    """Length and checksum of each file, by name."""
    stores: tuple[str, ...]
    """Paths of the stores that the index was built from."""
    uri: str | None = None
    """Address of the Milvus server."""
    mapped: dict[str, object] | None = None
    """If the vectors were mapped from another model: that model, and the accuracy of the map."""
    metric: str = "cos"
    """Always cos: a higher score means more similar."""
    kind: str = KIND
    """Always KIND."""
    schema: int = SCHEMA
    """Version of the format."""

    @property
    def identity(self) -> ModelIdentity:
        """The model whose embeddings the index holds, in any precision."""
        return ModelIdentity(name=self.model, id=self.model_id, template=self.template, flip=self.flip, size=self.size)


def add_file(root: Path, path: Path, pattern: str) -> tuple[str, FileSum]:
    """Rename a finished temporary file in root to its final name, which contains its checksum. Nothing refers to it
    yet. pattern: such as "rows.{}.h5"."""
    digest = file_sha256(path)
    name = pattern.format(digest[:12])
    length = path.stat().st_size
    path.replace(root / name)
    return name, FileSum(length, digest)


def publish_index_json(root: Path, header: IndexHeader) -> None:
    """Replace index.json in one rename, so that the header's files become the index, and delete old files."""
    text = json.dumps(asdict(header), indent=1, sort_keys=True) + "\n"
    atomic.write_text(root / MAIN, text)
    sweep(root, set(header.files))


def sweep(root: Path, named: set[str]) -> None:
    """Delete the files of earlier builds, which their names identify, except the named ones. Other files stay."""
    for path in root.iterdir():
        if _FILE_NAME.fullmatch(path.name) and path.name not in named:
            with suppress(OSError):
                path.unlink()


def require_index_or_empty(root: Path) -> None:
    """Raises CosfaceError for a folder that has content, but is not an index."""
    others = sorted(p.name for p in root.iterdir() if p.name != MAIN and not _FILE_NAME.fullmatch(p.name))
    others = [name for name in others if not name.startswith(".")]
    if others and not (root / MAIN).is_file():
        raise CosfaceError(f"the folder has other content ({others[0]})", root, "give a new folder for the index")


def read_header(root: Path) -> IndexHeader:
    """The header of an index folder. Raises CosfaceError for another kind of folder or a newer schema, DamagedError for
    a damaged one."""
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
    """Raises DamagedError if a file is missing or has another length. check_sums compares the content."""
    for name, expected in header.files.items():
        try:
            length = (root / name).stat().st_size
        except OSError as error:
            raise DamagedError(f"cannot be read ({error.strerror})", root / name, REBUILD_HINT) from error
        if length != expected.bytes:
            raise DamagedError(f"damaged: {length} bytes, expected {expected.bytes}", root / name, REBUILD_HINT)


def check_sums(root: Path, header: IndexHeader) -> list[str]:
    """Names of the files whose content differs from their checksum."""
    require_whole(root, header)
    return [name for name, expected in header.files.items() if file_sha256(root / name) != expected.sha256]


def _checked(header: IndexHeader) -> IndexHeader:
    """The header from JSON, with segments and files as objects. Raises ValueError, TypeError or KeyError if invalid."""
    segments = tuple(_made(Segment, values) for values in header.segments)
    files = {name: _made(FileSum, values) for name, values in header.files.items()}
    texts = (header.engine, header.model, header.model_id, header.template, header.flip)
    if not all(isinstance(text, str) for text in (*texts, *header.stores, header.uri or "")):
        raise ValueError("a field has a wrong type")
    as_flip(header.flip)
    numbers = (header.size, header.rows, header.next_id, *(segment.rows for segment in segments))
    if not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in (*numbers, *(sum_.bytes for sum_ in files.values()))):
        raise ValueError("a number is out of range")
    if header.size < 1 or header.size > 1 << 20 or sum(segment.rows for segment in segments) != header.rows:
        raise ValueError("size or rows are inconsistent")
    named = [name for segment in segments for name in segment.files]
    if set(named) != set(files) or len(named) != len(files) or not all(_FILE_NAME.fullmatch(name) for name in named):
        raise ValueError("files of segments and checksums are inconsistent")
    if header.metric != "cos" or not all(isinstance(segment.settings, dict) for segment in segments):
        raise ValueError("unknown metric, or invalid settings of a segment")
    values = {f.name: getattr(header, f.name) for f in fields(IndexHeader)}
    return IndexHeader(**{**values, "segments": segments, "files": files, "stores": tuple(header.stores)})


Part = TypeVar("Part", Segment, FileSum)


def _made(kind: type[Part], values: Any) -> Part:
    made = kind(**values)
    texts = [made.vectors, made.names, made.search, made.lists or ""] if isinstance(made, Segment) else [made.sha256]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a field has a wrong type")
    return made
