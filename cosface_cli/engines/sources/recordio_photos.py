"""The images of MXNet's train.rec, the format of insightface's face sets; read without mxnet."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from cosface_cli.artifacts.packed.recordio import MAGIC, Record, read_image, read_keys, records
from cosface_cli.artifacts.pictures import require_content
from cosface_cli.engines.sources import Item, Listing, Place, Refused, SourceRequest
from cosface_cli.engines.sources.archive import MAX_MEMBER
from cosface_cli.errors import PhotoError


@dataclass(frozen=True, slots=True)
class RecordImage:
    """The image of one record."""

    path: Path
    display_name: str
    record: Record

    def read(self) -> bytes:
        """Raises PhotoError (unreadable, truncated)."""
        try:
            return require_content(read_image(self.path, self.record), self.display_name)
        except OSError as error:
            raise PhotoError("unreadable", f"cannot be read ({error.strerror})", self.display_name) from error

    def status(self) -> tuple[int, int]:
        return self.record.size, self.path.stat().st_mtime_ns

    def __str__(self) -> str:
        return self.display_name


def list_recordio(request: SourceRequest) -> Listing | None:
    """The images of a .rec file, named <label>/<key>.jpg, so that the label is the identity.

    The keys come from the .idx file beside it; without one they are the positions of the records. Raises CosfaceError
    for a damaged file.
    """
    path = request.path
    if not path.is_file() or not (request.head.startswith(MAGIC) or path.suffix.lower() == ".rec"):
        return None
    index = path.with_suffix(".idx")
    keys = read_keys(index) if index.is_file() else {}
    items: dict[str, Item] = {}
    for record in records(path):
        if record.size == 0:
            continue
        label = int(record.label) if record.label.is_integer() else record.label
        name = f"{label}/{keys.get(record.offset, record.number)}.jpg"
        display_name = f"{request.source}/{name}"
        place: Place = RecordImage(path, display_name, record)
        if record.size > MAX_MEMBER:
            place = Refused(path, display_name, "too_large", f"{record.size / 1e6:.0f} MB, too large for a photo")
        items[name] = Item(name, place, display_name)
    ordered = sorted(items.values(), key=lambda item: os.fsencode(item.name))
    return Listing(root=path, items=tuple(ordered), whole=True)
