"""A crop folder during a run of align: which photos must be aligned, and what is written for each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cosface_cli.align import AlignConfig
from cosface_cli.align.align_worker import AlignedPhoto, AlignTask, EncodedCrop
from cosface_cli.align.crop_names import CropNames
from cosface_cli.artifacts.crops.crop_folder import CropFolder, PhotoEntry
from cosface_cli.artifacts.crops.manifest import CropRecord, RejectRecord
from cosface_cli.artifacts.files import atomic
from cosface_cli.engines.photos.limits import limits_of
from cosface_cli.engines.runners.incremental import IncrementalRun, is_unchanged, rejected
from cosface_cli.engines.sources import Item
from cosface_cli.engines.sources.presence import AWAY
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Done, Rejected, Skipped

SUFFIXES = {"jpeg": ".jpg", "png": ".png"}
LONGEST_NAME = 255  # bytes of a file name, on every file system in use
CHUNK = 8  # photos in a message to a worker: a message costs about half a millisecond
RETRIED = ("too_large", "missing", "unreadable")  # rejects that may succeed with another limit, or later
COLUMNS = (
    "source", "crop", "status", "reason", "face", "faces", "found", "box", "landmarks", "score", "quality", "rotation"
)  # fmt: skip


@dataclass(slots=True)
class PendingPhoto:
    """A photo that a worker aligns."""

    item: Item
    saved: PhotoEntry | None
    """Its entry in the crop folder, if there is one."""


class CropUpdate:
    """Updates a crop folder. A crop is written before its manifest line, so that no line names a missing file."""

    def __init__(self, config: AlignConfig, detector: str, run: IncrementalRun) -> None:
        self.config = config
        self.run = run
        self.folder = CropFolder(config.aligned)
        self._detector = detector
        self._settings = (
            f"detector={detector} template={config.template} faces={config.faces} {limits_of(config).settings}"
            f" crops={config.crops}{' try_rotations' if config.try_rotations else ''}"
        )
        self._names = CropNames(self.crop_names(), SUFFIXES[config.crops])
        self._stale = list(self.folder.dropped)  # crops that no manifest line names any more
        self._existing_folders: set[Path] = set()

    def crop_names(self) -> set[str]:
        """The crops that the manifest names."""
        return {crop for saved in self.folder.photos.values() for crop in saved.crops}

    def require_same_settings(self) -> None:
        """Raises CosfaceError if the folder has crops of other settings, unless config.redo replaces them."""
        others = {saved.settings for saved in self.folder.photos.values() if saved.crops} - {self._settings}
        if others and not self.config.redo:
            raise CosfaceError(
                f"its crops were made with {sorted(others)[0]}, not with {self._settings}",
                self.config.aligned,
                "choose another folder, or --redo to replace them",
            )

    def pending(self, items: Iterable[Item]) -> Iterator[tuple[PendingPhoto, AlignTask]]:
        """The photos to align. Unchanged photos are counted."""
        for item in items:
            saved = self.folder.photos.get(item.name)
            if saved is not None and self._is_current(item, saved):
                self._count_unchanged(item, saved)
                continue
            has_crops = saved is not None and saved.settings == self._settings and self._has_crops(saved)
            yield PendingPhoto(item, saved), AlignTask(item.place, saved.hash if saved and has_crops else None)

    def write(self, photo: PendingPhoto, result: AlignedPhoto) -> None:
        """Write the result of a photo, then count it."""
        item, saved = photo.item, photo.saved
        if result.unchanged:
            records = self.folder.records(item.name)
            self.folder.add(item.name, [replace(r, size=result.size, mtime_ns=result.mtime_ns) for r in records])
            self.run.count(Skipped(item.display_name))
            return
        if result.reason in AWAY:
            self.run.require_source()
            if saved is not None and self._has_crops(saved):  # its crops stay
                self.run.count(_rejected(item, result.reason, result.words))
                return
        old = [] if saved is None else list(saved.crops)
        self._names.release(old)
        if result.reason is not None:
            self._write_reject(item, result, result.reason, old)
            return
        names = self._names.claim(item.name, len(result.crops))
        if any(len(os.fsencode(Path(name).name)) > LONGEST_NAME for name in names):
            self._names.release(names)
            words = f"{item.display_name}: the name of its crop would have over {LONGEST_NAME} bytes; shorten it"
            self._write_reject(item, replace(result, words=words), "name_too_long", old)
            return
        self._stale += sorted(set(old) - set(names))
        for name, crop in zip(names, result.crops, strict=True):
            self._write_crop(name, crop, replaces=name in old)
        records = self._records(item, result, names)
        self.folder.add(item.name, records)
        self.run.count(Done(item.display_name, tuple(_row(record, item, self.config.aligned) for record in records)))

    def remove(self, sources: Iterable[str]) -> None:
        """Remove photos and their crops from the folder."""
        self._stale += self.folder.drop(sources)

    def delete_stale_crops(self) -> None:
        """Delete the crops that no manifest line names any more."""
        for name in set(self._stale) - self.crop_names():
            with suppress(FileNotFoundError):
                (self.config.aligned / name).unlink()

    def _is_current(self, item: Item, saved: PhotoEntry) -> bool:
        """Whether the saved result is still valid, judged without reading the photo."""
        if saved.settings != self._settings or saved.reason in RETRIED:
            return False
        if saved.reason is None and not self._has_crops(saved):
            return False
        return is_unchanged(item.place, saved.size, saved.mtime_ns)

    def _has_crops(self, saved: PhotoEntry) -> bool:
        """Whether the photo has crops, and all their files exist."""
        return bool(saved.crops) and all((self.config.aligned / crop).is_file() for crop in saved.crops)

    def _count_unchanged(self, item: Item, saved: PhotoEntry) -> None:
        if saved.reason is not None:  # every run reports its rejects
            self.run.count(_rejected(item, saved.reason, saved.words))
        else:
            self.run.count(Skipped(item.display_name))

    def _write_reject(self, item: Item, result: AlignedPhoto, reason: str, old: list[str]) -> None:
        self._stale += old
        record = RejectRecord(
            source=item.name,
            size=result.size,
            mtime_ns=result.mtime_ns,
            hash=result.hash,
            reason=reason,
            words=result.words,
            settings=self._settings,
        )
        self.folder.add(item.name, record)
        self.run.count(_rejected(item, reason, result.words))

    def _write_crop(self, name: str, crop: EncodedCrop, replaces: bool) -> None:
        path = self.config.aligned / name
        if path.parent not in self._existing_folders:
            atomic.make_folder(path.parent)
            self._existing_folders.add(path.parent)
        if not replaces and path.exists() and path.read_bytes() != crop.content:
            problem = "this file is in the place of a crop, and the manifest does not name it"
            raise CosfaceError(problem, path, "move it away, or choose another folder")
        atomic.write_bytes(path, crop.content)

    def _records(self, item: Item, result: AlignedPhoto, names: list[str]) -> list[CropRecord]:
        return [
            CropRecord(
                crop=name,
                source=item.name,
                size=result.size,
                mtime_ns=result.mtime_ns,
                hash=result.hash,
                face=number,
                faces=len(names),
                found=result.detected,
                box=crop.box,
                landmarks=crop.landmarks,
                score=crop.score,
                template=self.config.template,
                detector=self._detector,
                settings=self._settings,
                quality=crop.quality,
                rotation=crop.rotation,
            )
            for number, (name, crop) in enumerate(zip(names, result.crops, strict=True), 1)
        ]


def _rejected(item: Item, reason: str, words: str) -> Rejected:
    return rejected(item.display_name, reason, words, COLUMNS)


def _row(record: CropRecord, item: Item, aligned: Path) -> dict[str, object]:
    """The row of output for a crop, with paths relative to the current folder."""
    return {
        "source": item.display_name,
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
