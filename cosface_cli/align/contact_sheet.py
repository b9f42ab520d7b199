"""The contact sheet of a crop folder: its crops, its rejects and their reasons on one HTML page."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.crop_folder import CropFolder
from cosface_cli.artifacts.crops.manifest import MANIFEST, REJECTS, CropRecord, RejectRecord
from cosface_cli.artifacts.pages import page_writer
from cosface_cli.engines.sources import File, Place
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import apply, similarity, template

PAGE = "report.html"
THUMBNAIL_SIDE = 96  # longer side, in pixels
MAX_ITEMS = 20_000  # crops, and as many rejects, on a page: it stays usable and below 40 MB

T = TypeVar("T")


def write_contact_sheet(folder: Path, photo_of: Callable[[str], Place | None] = lambda source: None) -> Path:
    """Write the contact sheet of a crop folder to that folder; returns its path. The same files give the same bytes.

    photo_of: source -> its file, for thumbnails of the rejects; None if it is unknown. Memory holds the manifest and
    one image. Raises CosfaceError if the folder cannot be read or written.
    """
    crops = CropFolder(folder)
    records = [record for source in crops.photos for record in crops.records(source)]
    rejects = [reject for source in crops.photos if (reject := crops.reject(source)) is not None]
    order = {source: number for number, source in enumerate(sorted(crops.photos))}
    shown_records, shown_rejects = _sample(records), _sample(rejects)
    page = folder / PAGE
    page_writer.write_page(
        page,
        "align/contact_sheet.html.j2",
        {
            **_summary(folder, records, rejects),
            "sampled": _sampling_note(len(shown_records), len(records), "crops")
            + _sampling_note(len(shown_rejects), len(rejects), "rejects"),
            "templates": {name: _template_size(name) for name in sorted({record.template for record in shown_records})},
            "faces": (_face(folder, record, order[record.source]) for record in shown_records),
            "rejects": (_reject(record, photo_of(record.source), order[record.source]) for record in shown_rejects),
        },
    )
    return page


def _summary(folder: Path, records: Sequence[CropRecord], rejects: Sequence[RejectRecord]) -> dict[str, object]:
    identities = {_identity(record.crop) for record in records} - {None}
    reasons = Counter(reject.reason for reject in rejects)
    with_crops = len({record.source for record in records})
    numbers = [("photos", with_crops + len(rejects)), ("crops", len(records)), ("rejects", len(rejects))]
    if identities:
        numbers.insert(2, ("identities", len(identities)))
    settings = {record.settings for record in records} | {reject.settings for reject in rejects}
    digest = hashlib.sha256()
    for name in (MANIFEST, REJECTS):
        path = folder / name
        digest.update(path.read_bytes() if path.is_file() else b"")
    return {
        "numbers": numbers,
        "reasons": sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0])),
        "made": [*(("settings", words) for words in sorted(settings)), ("manifest", digest.hexdigest()[:12])],
        "grouped": len(identities) > 1,
    }


def _face(folder: Path, record: CropRecord, order: int) -> dict[str, object]:
    """A crop for the page. landmarks: in crop pixels; misfit: root mean square of their distances to the template's
    landmarks, pixels."""
    target = template(record.template).landmarks
    points = np.array(record.landmarks, dtype=np.float64)
    try:
        landmarks = apply(similarity(points, target), points)
    except ValueError:  # align does not write such landmarks: the crop is shown with a large misfit
        landmarks = np.zeros_like(target)
    return {
        "order": order,
        "crop": record.crop,
        "source": record.source,
        "identity": _identity(record.crop),
        "face": record.face,
        "faces": record.faces,
        "found": record.found,
        "box": record.box,
        "score": record.score,
        "template": record.template,
        "landmarks": landmarks.round(1).tolist(),
        "misfit": round(float(np.sqrt(((landmarks - target) ** 2).sum(axis=1).mean())), 2),
        "rotation": record.rotation,
        **{name: record.quality.get(name) for name in ("face_px", "sharpness", "yaw", "roll")},
        "picture": _thumbnail(File(folder / record.crop)),
    }


def _reject(record: RejectRecord, photo: Place | None, order: int) -> dict[str, object]:
    return {
        "order": order,
        "source": record.source,
        "identity": _identity(record.source),
        "reason": page_writer.printable(record.reason),
        "words": record.words,
        "picture": None if photo is None else _thumbnail(photo),
    }


def _thumbnail(place: Place) -> str | None:
    """The thumbnail of a file, or None if it is not an image."""
    try:
        image = pictures.decode(place.read(), str(place), THUMBNAIL_SIDE).image
    except (PhotoError, OSError):
        return None
    return page_writer.picture(pictures.encode_thumbnail(image, THUMBNAIL_SIDE))


def _identity(name: str) -> str | None:
    head, slash, _ = name.partition("/")
    return head if slash else None


def _template_size(name: str) -> tuple[int, int]:
    return template(name).width, template(name).height


def _sample(records: Sequence[T]) -> Sequence[T]:
    """Every n-th record, so that there are at most MAX_ITEMS."""
    return records[:: max(1, -(-len(records) // MAX_ITEMS))]


def _sampling_note(shown: int, count: int, kind: str) -> str:
    return "" if shown == count else f"This page shows {shown:,} of the {count:,} {kind}, evenly spaced. "
