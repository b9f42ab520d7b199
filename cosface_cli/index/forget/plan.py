"""What is to be forgotten, gathered before anything is touched and kept until it is done, so that a stopped run is
finished by the next."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import MANIFEST, CropRecord, crop_record, is_crop_folder, read_lines
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.index_folder import IndexHeader
from cosface_cli.artifacts.index.index_rows import IndexRows
from cosface_cli.artifacts.index.people_file import read_people
from cosface_cli.artifacts.index.vector_file import VectorFile
from cosface_cli.artifacts.store.face_rows import Columns, decode, encode
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.index.forget import ForgetConfig
from cosface_cli.index.segments import BLOCK

FILE = ".forget.json"
PIECE = 16  # bytes of an embedding or a crop that are looked for
_PIECES = 16  # of each
_TEXTS = 8  # bytes of a piece that differ, at least: others stand everywhere


@dataclass(slots=True)
class Plan:
    """faces: "SHA-256 of the file:number in it"; sources: root and source of rows; identities: who; stores, folders:
    where; crops: by folder, names of crops; photos: by folder, sources of its photos; hashes: of the crop files;
    pieces: bytes to look for, in hexadecimal; index_rows, store_rows: how many there were."""

    faces: list[str] = field(default_factory=list)
    sources: list[tuple[str, str]] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    crops: dict[str, list[str]] = field(default_factory=dict)
    photos: dict[str, list[str]] = field(default_factory=dict)
    hashes: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    index_rows: int = 0
    store_rows: int = 0

    def write(self, root: Path) -> None:
        """Keep it in the index folder."""
        atomic.write_text(root / FILE, json.dumps(asdict(self)))

    @staticmethod
    def read(root: Path) -> Plan | None:
        """The plan of a run that was stopped."""
        path = root / FILE
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_text("utf-8", "surrogateescape"))
            plan = Plan(**{f.name: found[f.name] for f in fields(Plan)})
            plan.sources = [(str(name), str(source)) for name, source in plan.sources]
            return plan
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DamagedError("damaged", path, "move it away, and forget again") from error


class Wanted:
    """Tells the rows that go. config: whose; plan: what was gathered so far."""

    def __init__(self, plan: Plan, config: ForgetConfig | None = None) -> None:
        self._names = {encode(name) for name in plan.identities}
        self._faces = {_face(known) for known in plan.faces}
        self._sources = {(encode(root), encode(source)) for root, source in plan.sources}
        source = config.source if config is not None else None
        self._given = None if source is None else encode(source)
        self._path = None if source is None else encode(str(Path(source).absolute()))

    def mask(self, columns: Columns) -> NDArray[np.bool_]:
        """Which of the rows (n,)."""
        table = np.array([name in self._names for name in columns.tables["identity"]] + [False])  # -1: none
        out = table[columns.codes["identity"]]
        roots = [columns.tables["root"][code] if code >= 0 else b"" for code in columns.codes["root"]]
        hashes = np.ascontiguousarray(columns.numbers["hash"])
        for i, (root, source) in enumerate(zip(roots, columns.texts["source"], strict=True)):
            face = (hashes[i].tobytes(), int(columns.numbers["face"][i]))
            out[i] |= face in self._faces or (root, source) in self._sources or self.is_given(root, source)
        return out

    def is_given(self, root: bytes, source: bytes) -> bool:
        """Whether --source names it."""
        return self._given is not None and (source == self._given or root + b"/" + source == self._path)

    def is_crop(self, folder: Path, record: CropRecord) -> bool:
        """Whether a crop goes."""
        root = encode(str(folder.absolute()))
        given = any(self.is_given(root, encode(name)) for name in (record.crop, record.source))
        named = given or (root, encode(record.crop)) in self._sources
        face = (bytes.fromhex(record.hash), record.face)
        return named or face in self._faces or encode(record.crop.partition("/")[0]) in self._names


def gathered(config: ForgetConfig, header: IndexHeader, stores: Sequence[Path]) -> Plan:
    """All that is to go: rows of the person, crops of these rows, and whatever is the same photo under another name."""
    plan = Plan(stores=[str(path) for path in stores])
    if config.identity is not None:
        plan.identities.append(config.identity)
        people = read_people(config.index).persons.values()
        plan.faces += [face for person in people if person.name == config.identity for face in person.faces]
    before = -1
    while before != len(plan.faces) + len(plan.sources):  # the same photo can stand under other names
        before = len(plan.faces) + len(plan.sources)
        found = Plan(stores=plan.stores, identities=plan.identities)
        wanted = Wanted(plan, config)
        folders = {path.absolute() for path in config.crops}
        for columns, vectors, of_index in _rows(config.index, header, stores):
            folders |= {Path(decode(root)) for root in columns.tables["root"]}
            _take(columns, vectors, wanted.mask(columns), of_index, found)
        for folder in sorted(folder for folder in folders if is_crop_folder(folder)):
            found.folders.append(str(folder))
            _take_crops(folder, wanted, found)
        found.faces = sorted(set(plan.faces) | set(found.faces))
        found.sources = sorted(set(plan.sources) | set(found.sources))
        plan = found
    plan.pieces = sorted(set(plan.pieces))
    return plan


def _rows(
    root: Path, header: IndexHeader, stores: Sequence[Path]
) -> Iterator[tuple[Columns, NDArray[np.float32], bool]]:
    """All rows of an index and of stores with their vectors, and whether they are the index's."""
    for segment in header.segments:
        rows = IndexRows(root / segment.names, segment.rows)
        held = VectorFile(root / segment.vectors, header.size, segment.rows)
        for low in range(0, len(rows), BLOCK):
            high = min(low + BLOCK, len(rows))
            yield rows.columns(low, high), held.between(low, high), True
    for path in stores:
        with Store(path) as store:
            for low in range(0, len(store), BLOCK):
                high = min(low + BLOCK, len(store))
                yield store.columns(low, high), store.vectors(low, high), False


def _take(columns: Columns, vectors: NDArray[np.float32], mask: NDArray[np.bool_], of_index: bool, plan: Plan) -> None:
    if not mask.any():
        return
    for row in columns.kept(mask).rows():
        plan.faces.append(f"{row.hash}:{row.face}")
        plan.sources.append((row.root, row.source))
    for vector in vectors[mask]:
        plan.pieces += _pieces(np.ascontiguousarray(vector, "<f4").tobytes())
    if of_index:
        plan.index_rows += int(mask.sum())
    else:
        plan.store_rows += int(mask.sum())


def _take_crops(folder: Path, wanted: Wanted, plan: Plan) -> None:
    crops, photos = plan.crops.setdefault(str(folder), []), plan.photos.setdefault(str(folder), [])
    for values in read_lines(folder / MANIFEST):
        record = crop_record(values, folder / MANIFEST)
        if not wanted.is_crop(folder, record):
            continue
        crops.append(record.crop)
        photos.append(record.source)
        plan.faces.append(f"{record.hash}:{record.face}")
        plan.sources.append((str(folder), record.crop))
        path = folder / record.crop
        if path.is_file():
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            plan.hashes.append(digest)
            plan.faces.append(f"{digest}:1")
            plan.pieces += _pieces(content[len(content) // 4 :])  # a JPEG begins as others do


def _pieces(content: bytes) -> list[str]:
    """Some pieces of a content, in hexadecimal, that stand nowhere by chance."""
    starts = range(0, len(content) - PIECE + 1, 4)
    step = max(1, len(starts) // _PIECES)
    found = (content[start : start + PIECE] for start in starts[::step])
    return [piece.hex() for piece in found if len(set(piece)) >= _TEXTS]


def _face(known: str) -> tuple[bytes, int]:
    digest, _, number = known.partition(":")
    try:
        return bytes.fromhex(digest), int(number)
    except ValueError:
        raise CosfaceError(f"{known!r} is no face") from None


def require_forgotten(root: Path) -> None:
    """Raises CosfaceError where a run that forgets somebody was stopped before its end."""
    if (root / FILE).exists():
        raise CosfaceError(
            "forgetting somebody has not ended here", root, f"end it first: cosface index forget {root} --yes"
        )
