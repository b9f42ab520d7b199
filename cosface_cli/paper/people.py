"""A crop folder of some people, taken out of a larger one."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from cosface_cli.artifacts.crops.manifest import MANIFEST, Crop, line, open_crops
from cosface_cli.artifacts.files import atomic
from cosface_cli.errors import CosfaceError


def most_pictured(aligned: Path, template: str | None, count: int) -> list[Crop]:
    """The crops of the `count` people with the most of them, in order of their names. Raises CosfaceError where there
    are fewer people."""
    crops = sorted((c for c in open_crops(aligned, template) if c.identity is not None), key=lambda c: c.name)
    counts = Counter(str(crop.identity) for crop in crops)
    if len(counts) < count:
        hint = (
            "lower --people" if len(counts) > 1 else f"put crops in a folder a person: {aligned / 'PERSON/photo.jpg'}"
        )
        raise CosfaceError(f"{count} people are asked for, here are {len(counts)}", aligned, hint)
    chosen = set(sorted(counts, key=lambda name: (-counts[name], name))[:count])
    return [crop for crop in crops if crop.identity in chosen]


def take_out(crops: list[Crop], folder: Path) -> Path:
    """A crop folder with copies of these crops, whole or not at all; one that holds them already is left alone.

    Raises CosfaceError where the folder holds others.
    """
    if folder.exists():
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
        same = names == {crop.name for crop in crops} and all(
            (folder / crop.name).stat().st_size == crop.path.stat().st_size for crop in crops
        )
        if not same:
            raise CosfaceError("this folder holds other people's crops", folder, "choose another --out")
        return folder
    atomic.make_folder(folder.parent)
    part = atomic.partial(folder)
    with atomic.write_errors(folder):
        shutil.rmtree(part, ignore_errors=True)
        for crop in crops:
            (part / crop.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(crop.path, part / crop.name)
        records = [crop.record for crop in crops if crop.record is not None]
        if records:
            text = "".join(line(record) for record in records)
            (part / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
        part.rename(folder)
    return folder
