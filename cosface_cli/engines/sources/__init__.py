"""Where photos come from. A source gives names (relative, forward slashes) and the places behind them, in order.

A new source is a file here and a row in SOURCES: a function from what was asked to a listing, or None where the word
names something of another kind. The rows are asked in their order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cosface_cli.errors import PhotoError
from cosface_cli.registry import Row, Table

EVERY = 1.0  # seconds between the frames of a video


class Place(Protocol):
    """Where a photo lies; small and picklable, so that a worker reads it. str() is how errors call it."""

    def read(self) -> bytes:
        """The content of a photo file. Raises PhotoError."""
        ...

    def status(self) -> tuple[int, int]:
        """Bytes, and nanoseconds of the last change: while both stay, so does the content. Raises OSError."""
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
    """What is not even tried, and why. path: the file that it is in, or that it is."""

    path: Path
    name: str
    reason: str
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
    """name: what the photo is called in manifests and stores; given: as a person would type it."""

    name: str
    place: Place
    given: str

    @property
    def identity(self) -> str | None:
        """The first folder level of the name."""
        head, slash, _ = self.name.partition("/")
        return head if slash else None


@dataclass(frozen=True, slots=True)
class Listing:
    """root: what names are relative to; items: each once, in order; notes: what was left alone, in sentences for
    people; videos: how many of the files were videos; whole: whether they are all that the source holds, so that what
    is not among them is gone from it; unpacked: where a compressed archive was unpacked to."""

    root: Path
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    videos: int = 0
    whole: bool = False
    unpacked: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """What a worker must see to read the photos."""
        return (self.root,) if self.unpacked is None else (self.root, self.unpacked)


@dataclass(frozen=True, slots=True)
class Asked:
    """source: a word of the command line; head: the first bytes of the file that it names, if it names one; besides:
    a folder to leave out; every: seconds between the frames of a video; root: what the names of a list are relative
    to."""

    source: str
    head: bytes = b""
    besides: Path | None = None
    every: float = EVERY
    root: Path | None = None

    @property
    def path(self) -> Path:
        return Path(self.source)


class Source(Protocol):
    """What a row of SOURCES points to."""

    def __call__(self, asked: Asked) -> Listing | None:
        """The photos, or None where the word names something of another kind. Raises CosfaceError."""
        ...


SOURCES: Table[Source] = Table(
    "source",
    Row("list", "cosface_cli.engines.sources.paths:list_stdin", "-: paths on standard input, by newlines or NUL"),
    Row("folder", "cosface_cli.engines.sources.folder:list_folder", "photos and videos, with all sub-folders"),
    Row("zip", "cosface_cli.engines.sources.zip_archive:list_zip", "the photos in a zip archive"),
    Row("tar", "cosface_cli.engines.sources.tar_archive:list_tar", "the photos in a tar, a compressed one too"),
    Row("recordio", "cosface_cli.engines.sources.recordio:list_recordio", "MXNet's train.rec, of insightface's sets"),
    Row("video", "cosface_cli.engines.sources.video:list_video", "frames of a video, --every so many seconds"),
    Row("file", "cosface_cli.engines.sources.paths:list_file", "one photo"),
    Row("pattern", "cosface_cli.engines.sources.pattern:list_pattern", "'raw/**/*.jpg', quoted against the shell"),
)
