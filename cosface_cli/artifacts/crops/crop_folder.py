"""Writing a crop folder: crops are written first, then their lines, and at the end the lines are sorted.

The result of a photo is stored with the photo's size, modification time and content hash, and with the settings, so
that a second run processes only new and changed photos. Only a PhotoEntry of each photo is in memory; the rest stays in
the files, so that memory hardly grows with the number of photos.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from cosface_cli.artifacts.crops.manifest import (
    MANIFEST,
    REJECTS,
    CropRecord,
    RejectRecord,
    crop_record,
    line,
    read_spans,
)
from cosface_cli.artifacts.files import atomic
from cosface_cli.errors import CosfaceError

Span = tuple[int, int]  # where a line begins and ends in its file


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoEntry:
    """The result of one photo with one content and settings."""

    size: int
    """Bytes of the photo file."""
    mtime_ns: int
    """Its modification time, in nanoseconds."""
    hash: str
    """SHA-256 of its content."""
    settings: str
    """Everything that decides the crops."""
    crops: tuple[str, ...] = ()
    """Names of the crops; empty for a rejected photo."""
    reason: str | None = None
    """Code of the rejection."""
    words: str = ""
    """The rejection as a sentence."""
    lines: tuple[Span, ...] = ()
    """Positions of its lines in the manifest or in the list of rejects."""


class CropFolder:
    """A crop folder open for writing. photos: entries by source; dropped: names of crops with outdated or incomplete
    lines, whose photos must be processed again."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.photos: dict[str, PhotoEntry] = {}
        self.dropped: list[str] = []
        self._handles: dict[str, BinaryIO] = {}
        self._ends = {MANIFEST: 0, REJECTS: 0}  # of the last whole line
        self._read()

    def _read(self) -> None:
        faces: dict[str, int] = {}
        for span, values in read_spans(self.root / MANIFEST):
            record = crop_record(values, self.root / MANIFEST)
            before = self.photos.get(record.source)
            if record.face == 1 and before is not None:  # the photo was processed again: later lines replace earlier
                self.dropped += before.crops
                before = None
            self.photos[record.source] = _with_line(before, record, span)
            faces[record.source] = record.faces if before is None else faces[record.source]
            self._ends[MANIFEST] = span[1]
        for source in [source for source, entry in self.photos.items() if len(entry.crops) != faces[source]]:
            self.dropped += self.photos.pop(source).crops  # the line of a later face is missing
        for span, values in read_spans(self.root / REJECTS):
            try:
                reject = RejectRecord(**values)
                entry = _rejected(reject, span)
            except TypeError:
                raise CosfaceError("not a list of rejects", self.root / REJECTS, "move it away") from None
            before = self.photos.pop(reject.source, None)
            if before is not None and before.crops:  # an interrupted run left both: it is unknown which is later
                self.dropped += before.crops
            else:
                self.photos[reject.source] = entry
            self._ends[REJECTS] = span[1]

    def add(self, source: str, records: Sequence[CropRecord] | RejectRecord) -> None:
        """Append the result of a photo. The files of its crops must exist."""
        if isinstance(records, RejectRecord):
            self.photos[source] = _rejected(records, self._append(REJECTS, [line(records)])[0])
            return
        entry: PhotoEntry | None = None
        for record, span in zip(records, self._append(MANIFEST, list(map(line, records))), strict=True):
            entry = _with_line(entry, record, span)
        if entry is not None:
            self.photos[source] = entry

    def records(self, source: str) -> list[CropRecord]:
        """The manifest's lines of a photo, read from the file; empty for a rejected photo."""
        entry = self.photos[source]
        if not entry.crops:
            return []
        with (self.root / MANIFEST).open("rb") as file:
            return [crop_record(json.loads(_at(file, span)), self.root / MANIFEST) for span in entry.lines]

    def reject(self, source: str) -> RejectRecord | None:
        """The reject of a photo, or None if it has crops."""
        entry = self.photos[source]
        if entry.reason is None:
            return None
        return RejectRecord(
            source=source,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            hash=entry.hash,
            reason=entry.reason,
            words=entry.words,
            settings=entry.settings,
        )

    def drop(self, sources: Iterable[str]) -> list[str]:
        """Remove photos. Returns the names of their crops, which the caller must delete."""
        return [crop for source in sources for crop in self.photos.pop(source).crops]

    def finish(self, order: Iterable[str]) -> None:
        """Sort both files into the order of sources. Other photos keep their lines, after these."""
        self.close()
        names = dict.fromkeys(order)
        names.update(dict.fromkeys(sorted(set(self.photos) - set(names))))
        sources = [name for name in names if name in self.photos]
        self._put_in_order(MANIFEST, [source for source in sources if self.photos[source].crops])
        self._put_in_order(REJECTS, [source for source in sources if not self.photos[source].crops])

    def close(self) -> None:
        """Close the files that are being appended to."""
        for handle in self._handles.values():
            handle.close()
        self._handles.clear()

    def _append(self, name: str, lines: Sequence[str]) -> list[Span]:
        """Write lines through to the operating system, all or none. Returns their positions."""
        contents = [text.encode() for text in lines]
        ends = [self._ends[name]]
        for content in contents:
            ends.append(ends[-1] + len(content))
        with atomic.write_errors(self.root / name):
            handle = self._handles.get(name)
            if handle is None:
                handle = self._handles[name] = (self.root / name).open("ab", buffering=0)
                handle.truncate(ends[0])  # removes an incomplete last line
            rest = memoryview(b"".join(contents))
            try:
                while rest:
                    rest = rest[handle.write(rest) :]
            except OSError:
                handle.truncate(ends[0])
                raise
        self._ends[name] = ends[-1]
        return list(pairwise(ends))

    def _put_in_order(self, name: str, sources: Sequence[str]) -> None:
        path = self.root / name
        spans = [span for source in sources for span in self.photos[source].lines]
        size = path.stat().st_size if path.exists() else -1
        bounds = [0, *(end for _, end in spans)]
        if [start for start, _ in spans] == bounds[:-1] and bounds[-1] == size:
            return
        with atomic.write_errors(path), atomic.replacing(path) as temp, temp.open("wb") as new:
            if spans:
                with path.open("rb") as old:
                    new.writelines(_at(old, span) for span in spans)
        end = 0
        for source in sources:
            moved = []
            for start, stop in self.photos[source].lines:
                moved.append((end, end + stop - start))
                end += stop - start
            self.photos[source] = replace(self.photos[source], lines=tuple(moved))
        self._ends[name] = end


def _with_line(before: PhotoEntry | None, record: CropRecord, span: Span) -> PhotoEntry:
    """The entry of a photo with one more face."""
    if before is not None:
        return replace(before, crops=(*before.crops, record.crop), lines=(*before.lines, span))
    settings = sys.intern(record.settings)  # one string for all photos
    return PhotoEntry(
        size=record.size,
        mtime_ns=record.mtime_ns,
        hash=record.hash,
        settings=settings,
        crops=(record.crop,),
        lines=(span,),
    )


def _rejected(record: RejectRecord, span: Span) -> PhotoEntry:
    return PhotoEntry(
        size=record.size,
        mtime_ns=record.mtime_ns,
        hash=record.hash,
        settings=sys.intern(record.settings),
        reason=record.reason,
        words=record.words,
        lines=(span,),
    )


def _at(file: BinaryIO, span: Span) -> bytes:
    file.seek(span[0])
    return file.read(span[1] - span[0])
