"""The crop folder: aligned crops beside manifest.jsonl, one line a crop, and rejects.jsonl, one line a photo.

Lines stand in source order and a torn last line is passed over. crop_folder writes what is read here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import Template, apply, similarity, template

MANIFEST = "manifest.jsonl"
REJECTS = "rejects.jsonl"
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True, kw_only=True)
class CropRecord:
    """One line of the manifest. Paths are relative, with forward slashes."""

    crop: str
    """Path of the crop in the crop folder."""
    source: str
    """Path of the photo in the photo folder."""
    size: int
    """Bytes of the photo file."""
    mtime_ns: int
    """Its modification time, in nanoseconds."""
    hash: str
    """SHA-256 of its content."""
    face: int
    """Number of the face, from 1."""
    faces: int
    """How many faces of the photo were kept."""
    found: int
    """How many faces were detected in the photo."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels of the upright photo."""
    landmarks: tuple[tuple[float, ...], ...]
    """Five (x, y), in pixels of the upright photo."""
    score: float
    """Detection score, 0..1."""
    template: str
    """Name of the crop geometry."""
    detector: str
    """Name of the detector, with the checksum of its weights."""
    settings: str
    """Everything that decides the crop."""
    quality: Mapping[str, float] = field(default_factory=dict)
    """Measures by name: face_px, sharpness, yaw, roll."""
    rotation: int = 0
    """Degrees by which the upright photo was rotated clockwise for the detector; box and landmarks are in the photo
    before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectRecord:
    """One line of rejects.jsonl: a photo without a crop."""

    source: str
    """Path of the photo in the photo folder."""
    size: int
    """Bytes of the photo file."""
    mtime_ns: int
    """Its modification time, in nanoseconds."""
    hash: str
    """SHA-256 of its content."""
    reason: str
    """Code of the rejection."""
    words: str
    """The rejection as a sentence."""
    settings: str
    """Everything that decides the crop."""


@dataclass(frozen=True, slots=True, eq=False)
class Crop:
    """A crop that can be used."""

    path: Path
    """Its file."""
    name: str
    """Its path in the crop folder."""
    template: Template
    """Its geometry."""
    landmarks: NDArray[np.float64] | None = None
    """Landmarks (5, 2) of this face, in crop pixels, if known."""
    record: CropRecord | None = None
    """Its line in the manifest, if there is one."""

    @property
    def identity(self) -> str | None:
        """The first folder level of the name."""
        head, slash, _ = self.name.partition("/")
        return head if slash else None

    @property
    def given(self) -> str:
        """What errors call it."""
        return str(self.path)

    def read(self) -> bytes:
        """The content of its file. Raises PhotoError."""
        from cosface_cli.artifacts import pictures

        return pictures.read(self.path)


Record = CropRecord | RejectRecord


def line(record: Record | Mapping[str, Any]) -> str:
    """One JSON line. Names stay readable; bytes that are no UTF-8 become escapes that decode to the same name."""
    values = record if isinstance(record, Mapping) else {f.name: getattr(record, f.name) for f in fields(record)}
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    return text + "\n"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of an NDJSON file; a torn last line is passed over. Raises CosfaceError for damage elsewhere."""
    return (found for _, found in read_spans(path))


def read_spans(path: Path) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """The same, each behind where its line begins and ends."""
    end = 0
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.endswith(b"\n"):
                    return
                try:
                    found = json.loads(text)
                except (ValueError, RecursionError):
                    found = None
                if not isinstance(found, dict):
                    raise CosfaceError(f"line {number} is damaged", path, "remove the line, or the file to begin anew")
                start, end = end, end + len(text)
                yield (start, end), found
    except FileNotFoundError:
        return
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error


def crop_record(values: Mapping[str, Any], path: Path) -> CropRecord:
    """A manifest line as a record.

    Raises CosfaceError naming the file where fields are missing, unknown or of another kind, or a crop lies outside.
    """
    try:
        found = CropRecord(**values)
        points = tuple((float(x), float(y)) for x, y in found.landmarks)
        left, top, right, bottom = map(float, found.box)
        texts = (found.crop, found.source, found.template, found.hash, found.settings)
        if len(points) != 5 or not all(isinstance(text, str) for text in texts):
            raise ValueError
        crop = PurePosixPath(found.crop)
        if found.rotation not in (0, 90, 180, 270):
            raise ValueError
        if not crop.name or crop.is_absolute() or ".." in crop.parts or not 1 <= found.face <= found.faces:
            raise ValueError
    except (TypeError, ValueError):
        raise CosfaceError("not a manifest of crops", path, "give a folder written by cosface align") from None
    return replace(found, landmarks=points, box=(left, top, right, bottom))


def _photos_of(root: Path) -> dict[str, list[CropRecord]]:
    """By source, the records that hold."""
    grouped: dict[str, list[CropRecord]] = {}
    for values in read_lines(root / MANIFEST):
        record = crop_record(values, root / MANIFEST)
        if record.face == 1:  # a photo that was done again: its later lines hold
            grouped.pop(record.source, None)
        grouped.setdefault(record.source, []).append(record)
    # but not where the line of a later face was torn off
    return {source: records for source, records in grouped.items() if len(records) == records[0].faces}


def is_crop_folder(root: Path) -> bool:
    """Whether a folder was written by align."""
    return (root / MANIFEST).is_file()


def open_crops(root: Path, template_name: str | None = None) -> list[Crop]:
    """The crops of a folder in manifest order, or, without a manifest, its pictures in order of their names.

    template_name: the template of a folder without a manifest. Raises CosfaceError when neither says it or both say
    different things, when the folder is missing or empty, or when the manifest names a crop that is not there.
    """
    if not root.is_dir():
        raise CosfaceError("no such folder of crops", root, "make one: cosface align PHOTOS " + str(root))
    if is_crop_folder(root):
        crops = [_from_record(root, record) for records in _photos_of(root).values() for record in records]
        for crop in crops:
            if not crop.path.is_file():
                raise CosfaceError("a crop of the manifest is missing", crop.path, "run cosface align again")
            if template_name not in (None, crop.template.name):
                problem = f"the manifest says that its crops are of template {crop.template.name!r}"
                raise CosfaceError(problem, root, "leave --template out")
    else:
        if template_name is None:
            raise CosfaceError(
                f"no {MANIFEST} here, so nobody knows where the landmarks of its pictures are",
                root,
                "run cosface align on the photos, or name the crops' --template",
            )
        have = template(template_name)
        found = sorted(
            (path.relative_to(root).as_posix(), path)
            for path in root.rglob("*")
            if path.suffix.lower() in PICTURES and not any(p.startswith(".") for p in path.relative_to(root).parts)
        )
        crops = [Crop(path, name, have) for name, path in found]
    if not crops:
        raise CosfaceError("no crops here", root, "run cosface align on photos with faces")
    return crops


def _from_record(root: Path, record: CropRecord) -> Crop:
    have = template(record.template)
    points = np.array(record.landmarks, dtype=np.float64)
    try:
        own = apply(similarity(points, have.landmarks), points)
    except ValueError as error:
        raise CosfaceError(f"the landmarks of {record.crop} are of no use: {error}", root / MANIFEST) from None
    return Crop(root / record.crop, record.crop, have, own, record)


class CropFinder:
    """Finds the crops that paths name inside crop folders; a manifest is read once while it stays as it is."""

    def __init__(self) -> None:
        self._roots: dict[Path, Path | None] = {}  # by folder, the crop folder that it is in
        self._lines: dict[Path, tuple[tuple[int, int], dict[str, tuple[int, int]]]] = {}

    def find(self, path: Path) -> Crop | None:
        """The crop, or None where the path is a photo. Raises CosfaceError for a damaged manifest."""
        folder = path.absolute().parent
        if folder not in self._roots:
            self._roots[folder] = next((root for root in (folder, *folder.parents) if is_crop_folder(root)), None)
        root = self._roots[folder]
        span = None if root is None else self._of(root).get(path.absolute().relative_to(root).as_posix())
        if root is None or span is None:
            return None
        with (root / MANIFEST).open("rb") as file:
            file.seek(span[0])
            values = json.loads(file.read(span[1] - span[0]))
        return _from_record(root, crop_record(values, root / MANIFEST))

    def _of(self, root: Path) -> dict[str, tuple[int, int]]:
        status = (root / MANIFEST).stat()
        state = status.st_size, status.st_mtime_ns
        if root not in self._lines or self._lines[root][0] != state:
            spans = {str(values.get("crop")): span for span, values in read_spans(root / MANIFEST)}
            self._lines[root] = state, spans
        return self._lines[root][1]


def find_crops(paths: Sequence[Path]) -> list[Crop | None]:
    """The crop that each path names inside a crop folder, or None where it is a photo; each manifest is read once."""
    finder = CropFinder()
    return [finder.find(path) for path in paths]
