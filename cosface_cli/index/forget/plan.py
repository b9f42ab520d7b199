"""The plan of what is forgotten. It is made before anything is changed, and saved until everything is removed, so that
the next run can finish an interrupted one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import MANIFEST, crop_record, is_crop_folder, read_lines
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.forgotten import PLAN
from cosface_cli.artifacts.index.index_folder import IndexHeader
from cosface_cli.artifacts.index.index_rows import IndexRows
from cosface_cli.artifacts.index.people_file import read_people
from cosface_cli.artifacts.index.vector_file import VectorFile
from cosface_cli.artifacts.store.face_rows import Columns, decode
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.errors import DamagedError
from cosface_cli.index.build.segments import BLOCK
from cosface_cli.index.forget import ForgetConfig
from cosface_cli.index.forget.selection import Selection

PIECE = 16  # bytes of an embedding or a crop that are searched for
_PIECES = 16  # pieces taken from each
_MIN_DISTINCT = 8  # different byte values in a piece: others, such as runs of zeros, are common in all files


@dataclass(slots=True, kw_only=True)
class Plan:
    """What is removed, and what is searched for afterwards."""

    faces: list[str] = field(default_factory=list)
    """"SHA-256 of the file:number of the face in it"."""
    sources: list[tuple[str, str]] = field(default_factory=list)
    """Root and source of rows."""
    identities: list[str] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    """Crop folders."""
    crops: dict[str, list[str]] = field(default_factory=dict)
    """By crop folder, the names of its crops."""
    photos: dict[str, list[str]] = field(default_factory=dict)
    """By crop folder, the sources of the photos of its crops."""
    hashes: list[str] = field(default_factory=list)
    """SHA-256 of the crop files."""
    pieces: list[str] = field(default_factory=list)
    """Bytes of embeddings and crops, in hexadecimal."""
    index_rows: int = 0
    store_rows: int = 0

    @property
    def crop_count(self) -> int:
        return sum(map(len, self.crops.values()))

    def write(self, root: Path) -> None:
        """Save it in the index folder."""
        atomic.write_text(root / PLAN, json.dumps(asdict(self)))

    @staticmethod
    def read(root: Path) -> Plan | None:
        """The plan of an interrupted run; None if there was no such run. Raises DamagedError."""
        path = root / PLAN
        if not path.is_file():
            return None
        try:
            values = json.loads(path.read_text("utf-8", "surrogateescape"))
            plan = Plan(**{f.name: values[f.name] for f in fields(Plan)})
            plan.sources = [(str(name), str(source)) for name, source in plan.sources]
            return plan
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DamagedError("damaged", path, "move it away, and forget again") from error


def make_plan(config: ForgetConfig, header: IndexHeader, stores: Sequence[Path]) -> Plan:
    """Plan to remove the rows of the person, the crops of these rows, and the same photos under other names."""
    plan = Plan(stores=[str(path) for path in stores])
    if config.identity is not None:
        plan.identities.append(config.identity)
        people = read_people(config.index).persons.values()
        plan.faces += [face for person in people if person.name == config.identity for face in person.faces]
    previous_size = -1
    while previous_size != (size := len(plan.faces) + len(plan.sources)):  # a photo may have other names
        previous_size = size
        plan = _extended(plan, config, header, stores)
    plan.pieces = sorted(set(plan.pieces))
    return plan


def selection_of(plan: Plan, source: str | None = None) -> Selection:
    """The rows and crops that a plan removes. source: a further source, the value of --source."""
    return Selection(identities=plan.identities, faces=plan.faces, sources=plan.sources, source=source)


def _extended(plan: Plan, config: ForgetConfig, header: IndexHeader, stores: Sequence[Path]) -> Plan:
    """The plan with all rows and crops that it selects."""
    extended = Plan(stores=plan.stores, identities=plan.identities)
    selection = selection_of(plan, config.source)
    folders = {path.absolute() for path in config.crops}
    for columns, vectors, of_index in _all_rows(config.index, header, stores):
        folders |= {Path(decode(root)) for root in columns.tables["root"]}
        _add_rows(extended, columns, vectors, selection.mask(columns), of_index)
    for folder in sorted(folder for folder in folders if is_crop_folder(folder)):
        extended.folders.append(str(folder))
        _add_crops(extended, folder, selection)
    extended.faces = sorted(set(plan.faces) | set(extended.faces))
    extended.sources = sorted(set(plan.sources) | set(extended.sources))
    return extended


def _all_rows(
    root: Path, header: IndexHeader, stores: Sequence[Path]
) -> Iterator[tuple[Columns, NDArray[np.float32], bool]]:
    """All rows of an index and of stores with their vectors, and whether they are rows of the index."""
    for segment in header.segments:
        rows = IndexRows(root / segment.names, segment.rows)
        vectors = VectorFile(root / segment.vectors, header.size, segment.rows)
        for low in range(0, len(rows), BLOCK):
            high = min(low + BLOCK, len(rows))
            yield rows.columns(low, high), vectors.block(low, high), True
    for path in stores:
        with Store(path) as store:
            for block in store.blocks(BLOCK):
                yield block.columns, block.vectors, False


def _add_rows(
    plan: Plan, columns: Columns, vectors: NDArray[np.float32], mask: NDArray[np.bool_], of_index: bool
) -> None:
    if not mask.any():
        return
    for row in columns.select(mask).rows():
        plan.faces.append(f"{row.hash}:{row.face}")
        plan.sources.append((row.root, row.source))
    for vector in vectors[mask]:
        plan.pieces += _pieces(np.ascontiguousarray(vector, "<f4").tobytes())
    if of_index:
        plan.index_rows += int(mask.sum())
    else:
        plan.store_rows += int(mask.sum())


def _add_crops(plan: Plan, folder: Path, selection: Selection) -> None:
    crops, photos = plan.crops.setdefault(str(folder), []), plan.photos.setdefault(str(folder), [])
    for values in read_lines(folder / MANIFEST):
        record = crop_record(values, folder / MANIFEST)
        if not selection.has_crop(folder, record):
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
            plan.pieces += _pieces(content[len(content) // 4 :])  # all JPEG files begin similarly


def _pieces(content: bytes) -> list[str]:
    """Evenly spaced pieces of a file's content, in hexadecimal, that do not occur elsewhere by chance."""
    starts = range(0, len(content) - PIECE + 1, 4)
    step = max(1, len(starts) // _PIECES)
    pieces = (content[start : start + PIECE] for start in starts[::step])
    return [piece.hex() for piece in pieces if len(set(piece)) >= _MIN_DISTINCT]
