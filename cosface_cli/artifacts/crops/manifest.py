"""Reading a crop folder: crops, manifest.jsonl with a line for each crop, rejects.jsonl with one for each photo.

Lines are in the order of the sources; an incomplete last line is dropped. crop_folder writes these files.
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
    """Number of crops of the photo."""
    found: int
    """Number of faces detected in the photo."""
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
    """A crop of a crop folder."""

    path: Path
    """Path of the file."""
    name: str
    """Path relative to the crop folder."""
    template: Template
    """Geometry of the crop."""
    landmarks: NDArray[np.float64] | None = None
    """Landmarks (5, 2) of this face, in crop pixels, if known."""
    record: CropRecord | None = None
    """Line of the manifest, if there is one."""

    @property
    def identity(self) -> str | None:
        """The first folder level of the name."""
        head, slash, _ = self.name.partition("/")
        return head if slash else None

    @property
    def display_name(self) -> str:
        """The name in errors."""
        return str(self.path)

    def read(self) -> bytes:
        """The content of the file. Raises PhotoError."""
        from cosface_cli.artifacts import pictures

        return pictures.read(self.path)


Record = CropRecord | RejectRecord


def line(record: Record | Mapping[str, object]) -> str:
    """One JSON line. Names stay readable; bytes that are not UTF-8 become escapes that decode to the same name."""
    values = record if isinstance(record, Mapping) else {f.name: getattr(record, f.name) for f in fields(record)}
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    return text + "\n"


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of an NDJSON file; an incomplete last line is dropped. Raises CosfaceError for other damage."""
    return (values for _, values in read_spans(path))


def read_spans(path: Path) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    """The objects of an NDJSON file, each with the start and end of its line."""
    end = 0
    try:
        with path.open("rb") as file:
            for number, text in enumerate(file, 1):
                if not text.endswith(b"\n"):
                    return
                try:
                    values = json.loads(text)
                except (ValueError, RecursionError):
                    values = None
                if not isinstance(values, dict):
                    raise CosfaceError(f"line {number} is damaged", path, "remove the line, or the file to start again")
                start, end = end, end + len(text)
                yield (start, end), values
    except FileNotFoundError:
        return
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error


def crop_record(values: Mapping[str, Any], path: Path) -> CropRecord:
    """A manifest line as a record.

    Raises CosfaceError naming the file if fields are missing, unknown or invalid, or a crop is outside the folder.
    """
    try:
        record = CropRecord(**values)
        points = tuple((float(x), float(y)) for x, y in record.landmarks)
        left, top, right, bottom = map(float, record.box)
        texts = (record.crop, record.source, record.template, record.hash, record.settings)
        if len(points) != 5 or not all(isinstance(text, str) for text in texts):
            raise ValueError
        crop = PurePosixPath(record.crop)
        if record.rotation not in (0, 90, 180, 270):
            raise ValueError
        if not crop.name or crop.is_absolute() or ".." in crop.parts or not 1 <= record.face <= record.faces:
            raise ValueError
    except (TypeError, ValueError):
        raise CosfaceError("not a manifest of crops", path, "give a folder written by cosface align") from None
    return replace(record, landmarks=points, box=(left, top, right, bottom))


def _photos_of(root: Path) -> dict[str, list[CropRecord]]:
    """The valid records of each photo, by source."""
    grouped: dict[str, list[CropRecord]] = {}
    for values in read_lines(root / MANIFEST):
        record = crop_record(values, root / MANIFEST)
        if record.face == 1:  # the photo was processed again: later lines replace earlier ones
            grouped.pop(record.source, None)
        grouped.setdefault(record.source, []).append(record)
    # without photos for which the line of a later face is missing
    return {source: records for source, records in grouped.items() if len(records) == records[0].faces}


def is_crop_folder(root: Path) -> bool:
    """Whether a folder was written by align."""
    return (root / MANIFEST).is_file()


def open_crops(root: Path, template_name: str | None = None) -> list[Crop]:
    """The crops of a folder in the order of the manifest; without a manifest, its pictures sorted by name.

    template_name: the template of a folder without a manifest. Raises CosfaceError if the template is unknown or not
    the manifest's, if the folder is missing or empty, and if a crop of the manifest is missing.
    """
    if not root.is_dir():
        raise CosfaceError("no such folder of crops", root, "make one: cosface align PHOTOS " + str(root))
    if is_crop_folder(root):
        crops = [_from_record(root, record) for records in _photos_of(root).values() for record in records]
        for crop in crops:
            if not crop.path.is_file():
                raise CosfaceError("a crop of the manifest is missing", crop.path, "run cosface align again")
            if template_name not in (None, crop.template.name):
                problem = f"its crops have the template {crop.template.name!r}, got --template {template_name!r}"
                raise CosfaceError(problem, root, "leave --template out")
    else:
        if template_name is None:
            raise CosfaceError(
                f"no {MANIFEST} here, so the positions of the landmarks are unknown",
                root,
                "run cosface align on the photos, or give the template of the crops with --template",
            )
        geometry = template(template_name)
        pictures = sorted(
            (path.relative_to(root).as_posix(), path)
            for path in root.rglob("*")
            if path.suffix.lower() in PICTURES and not any(p.startswith(".") for p in path.relative_to(root).parts)
        )
        crops = [Crop(path, name, geometry) for name, path in pictures]
    if not crops:
        raise CosfaceError("no crops here", root, "run cosface align on photos with faces")
    return crops


def _from_record(root: Path, record: CropRecord) -> Crop:
    geometry = template(record.template)
    points = np.array(record.landmarks, dtype=np.float64)
    try:
        landmarks = apply(similarity(points, geometry.landmarks), points)
    except ValueError as error:
        raise CosfaceError(f"the landmarks of {record.crop} are invalid: {error}", root / MANIFEST) from None
    return Crop(root / record.crop, record.crop, geometry, landmarks, record)


class CropFinder:
    """Finds crops by path. The manifest of a crop folder is read once, and again only if it changes."""

    def __init__(self) -> None:
        self._roots: dict[Path, Path | None] = {}  # the crop folder of each folder
        self._lines: dict[Path, tuple[tuple[int, int], dict[str, tuple[int, int]]]] = {}

    def find(self, path: Path) -> Crop | None:
        """The crop at a path, or None if it is not in a manifest. Raises CosfaceError for a damaged manifest."""
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
    """The crop at each path, or None if it is not in a manifest. Each manifest is read once."""
    finder = CropFinder()
    return [finder.find(path) for path in paths]
