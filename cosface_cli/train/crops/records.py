"""Crops packed into few large files, MXNet's train.rec or WebDataset's tars: their offsets and labels.

The headers of a file are read once; then every crop is read by its offset, in any order. Memory holds forty bytes and
the name of each crop.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.packed import recordio, webdataset
from cosface_cli.artifacts.pictures import decode, require_content
from cosface_cli.errors import CosfaceError, PhotoError
from cosface_cli.maths.geometry import TEMPLATES, Template, template
from cosface_cli.outcomes import Note, OnOutcome

ENDINGS = (".rec", ".tar")
_MAX_IMAGE = 64 << 20  # bytes: above any crop
_SPAN = -1  # in place of a record's skip: the picture is a plain range of bytes
_BY_SIZE = {(t.width, t.height): t for t in (TEMPLATES["arcface"], TEMPLATES["sphereface"])}
_SAMPLED = 64  # pictures whose bytes are part of the fingerprint, besides all offsets
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MAX_SHARDS = 100_000


class LabelledCrop(Protocol):
    """One crop of any source."""

    @property
    def name(self) -> str: ...
    @property
    def display_name(self) -> str:
        """Its name in errors."""
        ...

    @property
    def template(self) -> Template: ...
    @property
    def landmarks(self) -> NDArray[np.float64] | None:
        """(5, 2) in crop pixels; None for those of the template."""
        ...

    def read(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PackedCrop:
    """One crop of a packed file."""

    file: Path
    name: str
    template: Template
    record: recordio.Record
    landmarks: None = None

    @property
    def display_name(self) -> str:
        if self.record.skip == _SPAN:
            return f"{self.file}, sample {self.name.partition('/')[2]}"
        return f"{self.file}, record {self.record.number}"

    def read(self) -> bytes:
        """Raises PhotoError (unreadable, truncated, empty_file)."""
        try:
            if self.record.skip != _SPAN:
                return require_content(recordio.read_image(self.file, self.record), self.display_name)
            with self.file.open("rb") as handle:
                handle.seek(self.record.offset)
                content = handle.read(self.record.size)
        except OSError as error:
            raise PhotoError("unreadable", f"cannot be read ({error.strerror})", self.display_name) from error
        except PhotoError as error:
            raise PhotoError(error.reason, error.problem, self.display_name, error.hint) from None
        if len(content) != self.record.size:
            raise PhotoError("truncated", "the archive ends within it", self.display_name, "copy it again")
        return require_content(content, self.display_name)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Packed(Sequence[PackedCrop]):
    """Crops of packed files. An element is made when it is accessed."""

    files: tuple[Path, ...]
    rows: NDArray[np.int64]
    """(M, 5): file, offset, skip, size, number."""
    keys: bytes
    """The crops' keys, concatenated, UTF-8."""
    ends: NDArray[np.int64]
    """(M,): where each key ends."""
    chosen: NDArray[np.int64]
    """(N,): the rows of the crops of this sequence."""
    template: Template

    def __len__(self) -> int:
        return len(self.chosen)

    @overload
    def __getitem__(self, index: int) -> PackedCrop: ...
    @overload
    def __getitem__(self, index: slice) -> Packed: ...
    def __getitem__(self, index: int | slice) -> PackedCrop | Packed:
        if isinstance(index, slice):
            return replace(self, chosen=self.chosen[index])
        row = int(self.chosen[index])
        file, offset, skip, size, number = (int(value) for value in self.rows[row])
        begin = int(self.ends[row - 1]) if row else 0
        key = self.keys[begin : int(self.ends[row])].decode("utf-8", "surrogateescape")
        path = self.files[file]
        return PackedCrop(path, f"{path.name}/{key}", self.template, recordio.Record(offset, number, 0.0, skip, size))

    def take(self, chosen: NDArray[np.int64]) -> Packed:
        """The crops with these indices."""
        return replace(self, chosen=self.chosen[chosen])

    def fingerprint_parts(self) -> Iterator[bytes]:
        """The values that identify these crops: their offsets and keys, and the bytes of some of them."""
        yield "\0".join([self.template.name, *(path.name for path in self.files)]).encode("utf-8", "surrogateescape")
        yield self.rows[self.chosen].tobytes()
        yield self.keys
        for index in np.linspace(0, len(self) - 1, min(_SAMPLED, len(self))).astype(int):
            yield self[int(index)].read()


def packed_files(sources: Sequence[Path]) -> tuple[Path, ...]:
    """The packed files of these sources, in order of their paths; none if the source is a crop folder.

    A source is a .rec or .tar file, several of them as shards-{000..010}.tar, or a folder with such files and without
    folders. Raises CosfaceError if a named file is missing, or if sources of several kinds are mixed.
    """
    files: set[Path] = set()
    for source in (path for pattern in sources for path in _expanded(pattern)):
        inside = list(source.iterdir()) if source.is_dir() else []
        if source.is_dir() and any(path.is_dir() and not path.name.startswith(".") for path in inside):
            inside = []
        packed = [path for path in inside if path.suffix.lower() in ENDINGS and path.is_file()]
        if packed:
            files.update(packed)
        elif source.suffix.lower() in ENDINGS and not source.is_dir():
            if not source.is_file():
                raise CosfaceError("no such file", source)
            files.add(source)
        elif len(sources) > 1 or source.is_file():
            raise CosfaceError(
                "not a .rec or .tar", source, "give one crop folder, or files of MXNet's RecordIO or WebDataset"
            )
    if len({path.suffix.lower() for path in files}) > 1:
        raise CosfaceError("both .rec and .tar files", min(files).parent, "give files of one kind")
    return tuple(sorted(files))


def open_packed(
    files: Sequence[Path], template_name: str | None, emit: OnOutcome
) -> tuple[Packed, NDArray[np.int64], tuple[str, ...]]:
    """The crops of packed files, their labels (N,), and the names of the identities, in order of their numbers; if one
    is not a number, in alphabetical order. The same label in two files is the same identity.

    template_name: None: by the size of the first picture, such as 112 x 112 (arcface). Raises CosfaceError naming file
    and record for damage, for labels that are not whole numbers, and for pictures larger than a crop can be.
    """
    columns = array("q")
    keys, ends, labels = bytearray(), array("q"), []
    for number, path in enumerate(files):
        entries = _of_records(path, emit) if path.suffix.lower() == ".rec" else _of_tar(path)
        for key, label, *row in entries:
            if row[2] > _MAX_IMAGE:
                problem = f"{key} has {row[2] / 1e6:.0f} MB, more than a crop"
                raise CosfaceError(problem, path, "make crops of these pictures: cosface align")
            columns.extend((number, *row))
            keys += key.encode("utf-8", "surrogateescape")
            ends.append(len(keys))
            labels.append(label)
    if not labels:
        raise CosfaceError("no pictures in here", files[0], "give files of labelled crops")
    kinds = set(labels)
    ordered = sorted(kinds, key=str) if any(isinstance(kind, str) for kind in kinds) else sorted(kinds)
    place = {label: index for index, label in enumerate(ordered)}
    packed = Packed(
        files=tuple(files),
        rows=np.frombuffer(columns, np.int64).reshape(-1, 5),
        keys=bytes(keys),
        ends=np.frombuffer(ends, np.int64),
        chosen=np.arange(len(labels)),
        template=TEMPLATES["arcface"],
    )
    of_crops = template(template_name) if template_name else _template_of(packed[0])
    codes = np.fromiter((place[label] for label in labels), np.int64, len(labels))
    return replace(packed, template=of_crops), codes, tuple(map(str, ordered))


def _template_of(crop: PackedCrop) -> Template:
    height, width = decode(crop.read(), crop.display_name).image.shape[:2]
    if (width, height) not in _BY_SIZE:
        raise CosfaceError(
            f"is {width} x {height}, the size of no template", crop.display_name, "name the crops' --template"
        )
    return _BY_SIZE[width, height]


def _of_records(path: Path, emit: OnOutcome) -> Iterator[tuple[str, int, int, int, int, int]]:
    """Key, label, offset, skip, size and number of each record with a picture."""
    index = path.with_suffix(".idx")
    keys = recordio.read_keys(index) if index.is_file() else {}
    if not keys:
        emit(Note(f"{path}: no {index.name} beside it, so records are named by their positions"))
    unknown = 0
    for record in recordio.records(path):
        if record.size == 0:  # insightface's header and identity records
            continue
        unknown += bool(keys) and record.offset not in keys
        if not record.label.is_integer():
            raise CosfaceError(f"record {record.number} has the label {record.label}", path, "labels are whole numbers")
        key = keys.get(record.offset, record.number)
        yield f"{key:d}", int(record.label), record.offset, record.skip, record.size, record.number
    if unknown:
        raise CosfaceError(
            f"{unknown} records are not in it", index, "it belongs to another file: remove it, or copy the right one"
        )


def _of_tar(path: Path) -> Iterator[tuple[str, int | str, int, int, int, int]]:
    for number, sample in enumerate(webdataset.samples(path)):
        yield sample.key, sample.label, sample.offset, _SPAN, sample.size, number


def _expanded(source: Path) -> Iterator[Path]:
    """The eleven files of shards-{000..010}.tar, if the shell did not expand it."""
    match = _RANGE.search(str(source))
    if match is None or source.exists():
        yield source
        return
    first, last = int(match[1]), int(match[2])
    if last < first or last - first >= _MAX_SHARDS:
        raise CosfaceError(f"{{{match[1]}..{match[2]}}} is not a range of shards", source)
    text = str(source)
    for number in range(first, last + 1):
        yield from _expanded(Path(f"{text[: match.start()]}{number:0{len(match[1])}d}{text[match.end() :]}"))
