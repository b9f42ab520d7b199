"""Photos to crops: list, skip what is there already, hand out, write crop then line, keep the order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from cosface_cli.align import AlignConfig, AlignReport
from cosface_cli.align.doubles import doubles_note
from cosface_cli.align.naming import Names
from cosface_cli.align.report import write_report
from cosface_cli.align.work import AlignOpener, Result, Task
from cosface_cli.artifacts.crops.crop_folder import CropFolder, Kept
from cosface_cli.artifacts.crops.manifest import MANIFEST, CropRecord, RejectRecord
from cosface_cli.artifacts.files import atomic
from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.photos.limits import limits_of
from cosface_cli.engines.photos.reader import CHOICES
from cosface_cli.engines.runners import RUNNERS, PathCheckingOpener, Runner
from cosface_cli.engines.sources import Item, Listing
from cosface_cli.engines.sources.listing import list_photos
from cosface_cli.engines.sources.presence import AWAY, Presence, require_whole
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, Rejected, Skipped, Tally, ignore
from cosface_cli.registry import one_of

SUFFIXES = {"jpeg": ".jpg", "png": ".png"}
LONGEST_NAME = 255  # bytes, of every file system in use
CHUNK = 8  # photos handed to a worker at a time: a message costs about half a millisecond
RETRIED = ("too_large", "missing", "unreadable")  # rejects that another limit or another day may mend


def align(config: AlignConfig, emit: OnOutcome = ignore) -> AlignReport:
    """Align the faces of all photos of config.raw into the crop folder config.aligned.

    Photos that are there unchanged are skipped. Raises CosfaceError for a missing source, an unknown name, or a
    folder whose crops were made with other settings.
    """
    one_of(config.faces, CHOICES, "--faces")
    one_of(config.crops, SUFFIXES, "--crops")
    template(config.template)
    runner = RUNNERS.load(config.engine)
    detector = open_detector(config.detector, config.min_face).name  # a wrong name fails before any work
    presence = Presence(config.raw)
    listing = list_photos(config.raw, config.aligned, config.every, config.root)
    for note in listing.notes:
        emit(Note(note))
    if config.prune:
        require_whole(config.raw, listing.whole)
    if not listing.items:
        emit(Note(f"{config.raw}: no photos here"))
        return AlignReport(0, 0, 0, 0, 0)
    if config.raw != "-" and listing.root.resolve() == config.aligned.resolve():
        problem = "the photos lie here, and their crops would take their names"
        raise CosfaceError(problem, config.aligned, "give another folder for the crops")
    atomic.make_folder(config.aligned)
    with atomic.lock(config.aligned / MANIFEST):
        emit(Planned(len(listing.items)))
        report = _Run(config, detector, presence, emit).over(listing, runner)
        if config.report:
            places = {item.name: item.place for item in listing.items}
            page = write_report(config.aligned, places.get)
            emit(Note(f"contact sheet: {page}"))
        return report


@dataclass(slots=True)
class _Pending:
    item: Item
    before: Kept | None


class _Run:
    def __init__(self, config: AlignConfig, detector: str, presence: Presence, emit: OnOutcome) -> None:
        self.config = config
        self.detector = detector
        self.presence = presence
        self.settings = (
            f"detector={detector} template={config.template} faces={config.faces} {limits_of(config).settings}"
            f" crops={config.crops}{' try_rotations' if config.try_rotations else ''}"
        )
        self.made: set[Path] = set()  # folders
        self.tally = Tally()
        self.emit = emit
        self.folder = CropFolder(config.aligned)
        self.names = Names(self._named(), SUFFIXES[config.crops])
        self.stale = list(self.folder.dropped)  # crops that no line will name

    def over(self, listing: Listing, run: Runner) -> AlignReport:
        items = listing.items
        self._refuse_other_settings()
        opener = PathCheckingOpener(AlignOpener(self.config), listing.files)
        pending: dict[str, _Pending] = {}
        try:
            tasks = self._tasks(items, pending)
            for chunk, results in run(_chunks(tasks, len(items)), opener, self.config.workers, len(items)):
                for task, result in zip(chunk, results, strict=True):
                    self._keep(pending.pop(task.name), result)
        except CosfaceError:
            self.presence.require()  # where the source is gone, that is why
            raise
        finally:
            self.folder.close()
        gone = self._gone(listing)
        named = set(self._named())
        for name in set(self.stale) - named:
            with suppress(FileNotFoundError):
                (self.config.aligned / name).unlink()
        self.folder.finish(item.name for item in items)  # last: while it is to be done, a killed run is not over
        self._tell_doubles(items)
        tally = self.tally
        return AlignReport(len(items), len(named), tally.done, tally.skipped, tally.rejected, gone)

    def _named(self) -> Iterator[str]:
        """The crops that lines name."""
        return (crop for kept in self.folder.kept.values() for crop in kept.crops)

    def _gone(self, listing: Listing) -> int:
        """How many photos gave something and are not in the source any more: dropped, or told."""
        if not listing.whole:
            return 0
        self.presence.require()
        listed = {item.name for item in listing.items}
        gone = [name for name in self.folder.kept if name not in listed]
        if self.config.prune:
            self.stale += self.folder.drop(gone)
        if gone:
            done = "their crops are dropped" if self.config.prune else "--prune drops their crops"
            self.emit(Note(f"{self.config.aligned}: {len(gone)} of its photos are not in {listing.root}; {done}"))
        return len(gone)

    def _tell_doubles(self, items: tuple[Item, ...]) -> None:
        found = ((item.given, self.folder.kept.get(item.name)) for item in items)
        note = doubles_note((given, kept.hash) for given, kept in found if kept is not None and kept.crops)
        if note is not None:
            self.emit(Note(note))

    def _refuse_other_settings(self) -> None:
        others = {kept.settings for kept in self.folder.kept.values() if kept.crops} - {self.settings}
        if others and not self.config.redo:
            raise CosfaceError(
                f"its crops were made with {sorted(others)[0]}, not with {self.settings}",
                self.config.aligned,
                "choose another folder, or --redo to make them again",
            )

    def _tasks(self, items: tuple[Item, ...], pending: dict[str, _Pending]) -> Iterator[Task]:
        for item in items:
            before = self.folder.kept.get(item.name)
            if self._is_fresh(item, before):
                self._tell_kept(item, before)
                continue
            pending[item.name] = _Pending(item, before)
            same = before is not None and before.settings == self.settings and self._crops_exist(before)
            yield Task(item.name, item.place, before.hash if same and before is not None else None)

    def _is_fresh(self, item: Item, before: Kept | None) -> bool:
        if before is None or before.settings != self.settings or before.reason in RETRIED:
            return False
        if before.reason is None and not self._crops_exist(before):
            return False
        try:
            return item.place.status() == (before.size, before.mtime_ns)
        except OSError:
            return False

    def _crops_exist(self, kept: Kept) -> bool:
        """Whether it gave crops, and all are there."""
        return bool(kept.crops) and all((self.config.aligned / crop).is_file() for crop in kept.crops)

    def _tell_kept(self, item: Item, before: Kept | None) -> None:
        if before is not None and before.reason is not None:  # still without a crop: the run says so each time
            self._count(Rejected(item.given, before.reason, before.words))
        else:
            self._count(Skipped(item.given))

    def _count(self, outcome: Done | Skipped | Rejected) -> None:
        self.tally.add(outcome)
        self.emit(outcome)

    def _keep(self, pending: _Pending, result: Result) -> None:
        item, before = pending.item, pending.before
        old = [] if before is None else list(before.crops)
        if result.unchanged:
            records = self.folder.records(item.name)
            self.folder.add(item.name, [replace(r, size=result.size, mtime_ns=result.mtime_ns) for r in records])
            self._count(Skipped(item.given))
            return
        if result.reason in AWAY:
            self.presence.require()
            if before is not None and self._crops_exist(before):
                self._count(Rejected(item.given, result.reason, result.words))
                return
        self.names.release(old)
        if result.reason is not None:
            self.stale += old
            reject = RejectRecord(
                item.name, result.size, result.mtime_ns, result.hash, result.reason, result.words, self.settings
            )
            self.folder.add(item.name, reject)
            self._count(Rejected(item.given, result.reason, result.words))
            return
        names = self.names.claim(item.name, len(result.crops))
        if any(len(os.fsencode(Path(name).name)) > LONGEST_NAME for name in names):
            self.names.release(names)
            words = f"{item.given}: its crop's name would be longer than {LONGEST_NAME} bytes; give it a shorter name"
            self._keep(pending, replace(result, reason="name_too_long", words=words))
            return
        self.stale += sorted(set(old) - set(names))
        records = []
        for number, (name, crop) in enumerate(zip(names, result.crops, strict=True), 1):
            path = self.config.aligned / name
            if path.parent not in self.made:
                atomic.make_folder(path.parent)
                self.made.add(path.parent)
            if name not in old and path.exists() and path.read_bytes() != crop.content:
                problem = "a file that the manifest does not name is in the way of a crop"
                raise CosfaceError(problem, path, "move it away, or choose another folder")
            atomic.write_bytes(path, crop.content)
            records.append(
                CropRecord(
                    crop=name,
                    source=item.name,
                    size=result.size,
                    mtime_ns=result.mtime_ns,
                    hash=result.hash,
                    face=number,
                    faces=len(names),
                    found=result.found,
                    box=crop.box,
                    landmarks=crop.landmarks,
                    score=crop.score,
                    template=self.config.template,
                    detector=self.detector,
                    settings=self.settings,
                    quality=crop.quality,
                    rotation=crop.rotation,
                )
            )
        self.folder.add(item.name, records)
        self._count(Done(item.given, tuple(row(record, item, self.config.aligned) for record in records)))


def _chunks(tasks: Iterator[Task], count: int) -> Iterator[list[Task]]:
    """The tasks in lists, shorter ones where there are few, so that every worker gets some."""
    while chunk := list(islice(tasks, max(1, min(CHUNK, count // 16)))):
        yield chunk


def row(record: CropRecord, item: Item, aligned: Path) -> dict[str, object]:
    """What standard output says of a crop; paths as they would be typed."""
    return {
        "source": item.given,
        "crop": str(aligned / record.crop),
        "status": "ok",
        "reason": None,
        "face": record.face,
        "faces": record.faces,
        "found": record.found,
        "box": list(record.box),
        "landmarks": [list(point) for point in record.landmarks],
        "score": record.score,
        "quality": dict(record.quality),
        "rotation": record.rotation,
    }
