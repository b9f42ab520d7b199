"""Sources of photos: folders, archives, videos, lists. A new one is a file here and a row in SOURCES.

A source is a function from a request to a listing: names (relative, with forward slashes) and where to read each photo.
It returns None where the request is not for its kind. The sources are tried in the order of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cosface_cli.errors import PhotoError
from cosface_cli.registry import Row, Table

EVERY = 1.0  # seconds between the frames of a video


class Place(Protocol):
    """Where to read a photo: small and picklable, for workers. str() is its name in errors."""

    def read(self) -> bytes:
        """The content of a photo file. Raises PhotoError."""
        ...

    def status(self) -> tuple[int, int]:
        """Size in bytes, and time of the last change in nanoseconds. Raises OSError."""
        ...


@dataclass(frozen=True, slots=True)
class File:
    """A photo file."""

    path: Path

    def read(self) -> bytes:
        from cosface_cli.artifacts import pictures

        return pictures.read(self.path)

    def status(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_size, status.st_mtime_ns

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Refused:
    """A photo that is rejected without being read."""

    path: Path
    """The photo's file, or the archive that it is in."""
    name: str
    reason: str
    """Code, as in PhotoError."""
    problem: str
    hint: str | None = None

    def read(self) -> bytes:
        raise PhotoError(self.reason, self.problem, self.name, self.hint)

    def status(self) -> tuple[int, int]:
        return File(self.path).status()

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Item:
    """A photo of a source."""

    name: str
    """As in manifests and stores: relative to the source."""
    place: Place
    display_name: str
    """As a person would type it."""

    @property
    def identity(self) -> str | None:
        """The first folder level of the name."""
        head, slash, _ = self.name.partition("/")
        return head if slash else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The photos of a source."""

    root: Path
    """What names are relative to."""
    items: tuple[Item, ...]
    """Each photo once, in order."""
    notes: tuple[str, ...] = ()
    """Sentences about what was skipped."""
    videos: int = 0
    """How many of the files were videos."""
    whole: bool = False
    """Whether these are all photos of the source, so that a photo that is not among them was removed."""
    unpacked: Path | None = None
    """Where a compressed archive was unpacked to."""

    @property
    def files(self) -> tuple[Path, ...]:
        """What a worker must be able to read."""
        return (self.root,) if self.unpacked is None else (self.root, self.unpacked)


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """What a user asked for."""

    source: str
    """A word of the command line."""
    head: bytes = b""
    """The first bytes of the file that it names, if it names one."""
    excluded: Path | None = None
    """A folder to leave out."""
    every: float = EVERY
    """Seconds between the frames of a video."""
    root: Path | None = None
    """What the names of a list are relative to."""

    @property
    def path(self) -> Path:
        return Path(self.source)


class Source(Protocol):
    """What a row of SOURCES points to."""

    def __call__(self, request: SourceRequest) -> Listing | None:
        """The photos, or None where the request is for another kind of source. Raises CosfaceError."""
        ...


SOURCES: Table[Source] = Table(
    "source",
    Row(
        "list",
        "cosface_cli.engines.sources.paths:list_stdin",
        "-: paths on standard input, separated by newlines or NUL",
    ),
    Row("folder", "cosface_cli.engines.sources.folder:list_folder", "photos and videos, with all sub-folders"),
    Row("zip", "cosface_cli.engines.sources.zip_archive:list_zip", "the photos in a zip archive"),
    Row("tar", "cosface_cli.engines.sources.tar_archive:list_tar", "the photos in a tar, compressed or not"),
    Row(
        "recordio",
        "cosface_cli.engines.sources.recordio_photos:list_recordio",
        "MXNet's train.rec, of insightface's sets",
    ),
    Row("video", "cosface_cli.engines.sources.video:list_video", "frames of a video, one --every so many seconds"),
    Row("file", "cosface_cli.engines.sources.paths:list_file", "one photo"),
    Row("pattern", "cosface_cli.engines.sources.pattern:list_pattern", "'raw/**/*.jpg', quoted against the shell"),
)
