"""The images of MXNet's train.rec, as insightface's face sets come; without mxnet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cosface_cli.artifacts.packed.recordio import MAGIC, Record, read_image, read_keys, records
from cosface_cli.artifacts.pictures import not_empty
from cosface_cli.engines.sources import Asked, Item, Listing, Place, Refused
from cosface_cli.engines.sources.archive import MAX_MEMBER
from cosface_cli.errors import PhotoError


@dataclass(frozen=True, slots=True)
class RecordImage:
    """The image of one record."""

    path: Path
    given: str
    record: Record

    def read(self) -> bytes:
        """Raises PhotoError (unreadable, truncated)."""
        try:
            return not_empty(read_image(self.path, self.record), self.given)
        except OSError as error:
            raise PhotoError("unreadable", f"cannot be read ({error.strerror})", self.given) from error

    def status(self) -> tuple[int, int]:
        return self.record.size, self.path.stat().st_mtime_ns

    def __str__(self) -> str:
        return self.given


def list_recordio(asked: Asked) -> Listing | None:
    """The images of a .rec file, called <label>/<key>.jpg, so that the label is the identity.

    The keys are those of the .idx file beside it, or the records' positions. Raises CosfaceError for a damaged file.
    """
    path = asked.path
    if not path.is_file() or not (asked.head.startswith(MAGIC) or path.suffix.lower() == ".rec"):
        return None
    index = path.with_suffix(".idx")
    keys = read_keys(index) if index.is_file() else {}
    items: dict[str, Item] = {}
    for record in records(path):
        if record.size == 0:
            continue
        label = int(record.label) if record.label.is_integer() else record.label
        name = f"{label}/{keys.get(record.offset, record.number)}.jpg"
        given = f"{asked.source}/{name}"
        place: Place = RecordImage(path, given, record)
        if record.size > MAX_MEMBER:
            place = Refused(path, given, "too_large", f"{record.size / 1e6:.0f} MB, more than a photo has")
        items[name] = Item(name, place, given)
    ordered = sorted(items.values(), key=lambda item: os.fsencode(item.name))
    return Listing(path, tuple(ordered), whole=True)
