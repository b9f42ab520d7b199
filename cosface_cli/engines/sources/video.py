"""Frames of a video, one every so many seconds. Each frame is read on its own, so any worker can read it.

Videos are recognised by content, as photos are: a file goes to the decoder only if it begins like a video. By its name,
a decoder would also accept play lists, which lead to other files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from cosface_cli.artifacts.pictures import looks_like_photo
from cosface_cli.engines.sources import File, Item, Listing, Refused, SourceRequest
from cosface_cli.errors import PhotoError

VIDEOS = {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".mts", ".m2ts"}
_ATOMS = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}  # how QuickTime and MP4 begin
_HEADS = (b"\x1a\x45\xdf\xa3", b"\0\0\x01\xba", b"\0\0\x01\xb3", b"\x30\x26\xb2\x75", b"FLV\x01", b"OggS")

_LONGEST = 1e6  # seconds, eleven days: a damaged header may claim more, and every second would become an item


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture of a video."""

    video: Path
    number: int
    """From 0."""
    display_name: str
    """What errors call it."""

    def read(self) -> bytes:
        """The frame, upright as the video's rotation says, as a BMP file. Raises PhotoError."""
        try:
            with _opened(self.video) as film:
                film.set(cv2.CAP_PROP_POS_FRAMES, self.number)
                done, picture = film.read()
                if done:
                    return bytes(cv2.imencode(".bmp", picture)[1])
        except OSError as error:
            raise PhotoError("unreadable", f"cannot be read ({error.strerror})", self.display_name) from error
        except cv2.error as error:
            raise PhotoError("decode_error", "this frame cannot be read", self.display_name) from error
        problem = "the video has no readable frame at this time"
        raise PhotoError(
            "decode_error",
            problem,
            self.display_name,
            "if a player shows it, repair the file: ffmpeg -i IN -c copy OUT",
        )

    def status(self) -> tuple[int, int]:
        return File(self.video).status()

    def __str__(self) -> str:
        return self.display_name


def list_video(request: SourceRequest) -> Listing | None:
    """The frames of one video file, called <video>/<seconds>.png."""
    if not request.path.is_file() or not is_video(request.path.name, request.head):
        return None
    found = frames(request.path.name, request.path, request.source, request.every)
    return Listing(root=request.path.parent, items=tuple(found), videos=1)


def frames(name: str, path: Path, display_name: str, every: float) -> list[Item]:
    """The frames at 0, every, 2 every... seconds, each once; for a video that cannot be read, one item that fails."""
    try:
        with path.open("rb") as handle:
            if not _begins_as_video(handle.read(256)):
                raise PhotoError("unsupported_format", "not a video of a known format", display_name)
        rate, count = _measure(path)
    except OSError as error:
        return [
            Item(name, Refused(path, display_name, "unreadable", f"cannot be read ({error.strerror})"), display_name)
        ]
    except PhotoError as error:
        return [Item(name, Refused(path, display_name, error.reason, error.problem, error.hint), display_name)]
    items = []
    before = -1
    for step in range(int(count / rate / every) + 1):
        number = int(step * every * rate + 0.5)
        if before < number < count:
            frame = f"{step * every:09.3f}.png"
            items.append(
                Item(f"{name}/{frame}", Frame(path, number, f"{display_name}/{frame}"), f"{display_name}/{frame}")
            )
            before = number
    return items


def is_video(name: str, head: bytes) -> bool:
    """Whether a file is, or by its ending should be, a video. head: its first bytes, 189 or more."""
    return _begins_as_video(head) or (os.path.splitext(name)[1].lower() in VIDEOS)  # noqa: PTH122


def _begins_as_video(head: bytes) -> bool:
    return not looks_like_photo(head) and (
        head.startswith(_HEADS)
        or head[4:8] in _ATOMS
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or (len(head) > 188 and head[0] == head[188] == 0x47)  # MPEG transport stream
        or (len(head) > 196 and head[4] == head[196] == 0x47)  # the same with time stamps
    )


def _measure(path: Path) -> tuple[float, int]:
    """Frames per second, and the number of frames; they are counted where the file does not say."""
    with _opened(path) as film:
        rate, count = film.get(cv2.CAP_PROP_FPS), int(film.get(cv2.CAP_PROP_FRAME_COUNT))
        if not film.isOpened() or not 0 < rate < 1e5:
            raise PhotoError("decode_error", "this video cannot be read", str(path), "copy it again")
        if count <= 0:
            count = 0
            while film.grab():
                count += 1
        if count == 0:
            raise PhotoError("decode_error", "this video has no frames", str(path), "copy it again")
        if count > path.stat().st_size or count / rate > _LONGEST:
            raise PhotoError(
                "decode_error", f"it claims {count} frames at {rate:g} a second", str(path), "copy it again"
            )
    return rate, count


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    """FFmpeg on one thread, silent. By file descriptor, since FFmpeg takes names for patterns and URLs."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    level = cv2.utils.logging.setLogLevel(0)
    try:
        with path.open("rb") as handle:
            options = [cv2.CAP_PROP_N_THREADS, 1]
            film = cv2.VideoCapture(f"/dev/fd/{handle.fileno()}", cv2.CAP_FFMPEG, options)
            try:
                yield film
            finally:
                film.release()
    finally:
        cv2.utils.logging.setLogLevel(level)
