"""The contact sheet: what lies in a crop folder, crops, rejects and reasons, as one page."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.crops.crop_folder import CropFolder
from cosface_cli.artifacts.crops.manifest import MANIFEST, REJECTS, CropRecord, RejectRecord
from cosface_cli.artifacts.pages import page_writer
from cosface_cli.engines.sources import File, Place
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import apply, similarity, template

REPORT = "report.html"
SIDE = 96  # of a small picture, its longer side in pixels
MOST = 20_000  # crops, and rejects, that one page shows: it stays usable and below 40 MB

T = TypeVar("T")


def write_report(folder: Path, photo_of: Callable[[str], Place | None] = lambda source: None) -> Path:
    """Write the contact sheet of a crop folder into it, and give its path. The same files give the same bytes.

    photo_of: where a source lies, for pictures of the rejects; None where nobody knows. Memory holds the manifest
    and one picture. Raises CosfaceError where the folder cannot be read or written.
    """
    held = CropFolder(folder)
    records = [record for source in held.kept for record in held.records(source)]
    rejects = [reject for source in held.kept if (reject := held.reject(source)) is not None]
    order = {source: number for number, source in enumerate(sorted(held.kept))}
    some, others = _sample(records), _sample(rejects)
    page = folder / REPORT
    page_writer.write_page(
        page,
        "align/report.html.j2",
        {
            **_summary(folder, records, rejects),
            "sampled": _sampled(len(records), len(some)) + _sampled(len(rejects), len(others), "rejects"),
            "templates": {name: _size_of(name) for name in sorted({record.template for record in some})},
            "faces": (_face(folder, record, order[record.source]) for record in some),
            "rejects": (_reject(record, photo_of(record.source), order[record.source]) for record in others),
        },
    )
    return page


def _summary(folder: Path, records: Sequence[CropRecord], rejects: Sequence[RejectRecord]) -> dict[str, Any]:
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


def _face(folder: Path, record: CropRecord, order: int) -> dict[str, Any]:
    """What the page knows of a crop. landmarks: in crop pixels; misfit: their distance to the template's, root mean
    square, pixels."""
    want = template(record.template).landmarks
    points = np.array(record.landmarks, dtype=np.float64)
    try:
        own = apply(similarity(points, want), points)
    except ValueError:  # not of our making: shown all the same, as the worst
        own = np.zeros_like(want)
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
        "landmarks": own.round(1).tolist(),
        "misfit": round(float(np.sqrt(((own - want) ** 2).sum(axis=1).mean())), 2),
        "rotation": record.rotation,
        **{name: record.quality.get(name) for name in ("face_px", "sharpness", "yaw", "roll")},
        "picture": _picture(File(folder / record.crop)),
    }


def _reject(record: RejectRecord, photo: Place | None, order: int) -> dict[str, Any]:
    return {
        "order": order,
        "source": record.source,
        "identity": _identity(record.source),
        "reason": page_writer.printable(record.reason),
        "words": record.words,
        "picture": None if photo is None else _picture(photo),
    }


def _picture(place: Place) -> str | None:
    """The small picture of a file, or None where it is not one."""
    try:
        image = pictures.decode(place.read(), str(place), SIDE).image
    except (PhotoError, OSError):
        return None
    return page_writer.picture(pictures.encode_thumbnail(image, SIDE))


def _identity(name: str) -> str | None:
    head, slash, _ = name.partition("/")
    return head if slash else None


def _size_of(name: str) -> tuple[int, int]:
    found = template(name)
    return found.width, found.height


def _sample(records: Sequence[T]) -> Sequence[T]:
    """Every n-th, so that no more than MOST are left."""
    return records[:: max(1, -(-len(records) // MOST))]


def _sampled(have: int, shown: int, what: str = "crops") -> str:
    return "" if shown == have else f"This page shows {shown:,} of the {have:,} {what}, evenly chosen. "
