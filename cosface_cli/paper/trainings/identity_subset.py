"""A crop folder of a few people, copied from a larger one."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

from cosface_cli.artifacts.crops.manifest import MANIFEST, Crop, line, open_crops
from cosface_cli.artifacts.files import atomic
from cosface_cli.errors import CosfaceError


def crops_of_largest_identities(aligned: Path, template: str | None, count: int) -> list[Crop]:
    """The crops of the `count` people with the most crops, sorted by name.

    Raises CosfaceError if there are fewer people.
    """
    crops = sorted((c for c in open_crops(aligned, template) if c.identity is not None), key=lambda c: c.name)
    counts = Counter(str(crop.identity) for crop in crops)
    if len(counts) < count:
        hint = (
            "lower --people"
            if len(counts) > 1
            else f"put the crops of each person in a folder: {aligned / 'PERSON/photo.jpg'}"
        )
        raise CosfaceError(f"--people is {count}, but this folder has {len(counts)}", aligned, hint)
    chosen = set(sorted(counts, key=lambda name: (-counts[name], name))[:count])
    return [crop for crop in crops if crop.identity in chosen]


def copy_crops(crops: list[Crop], folder: Path) -> Path:
    """Make a crop folder with copies of these crops, completely or not at all. A folder that already has them stays.

    Raises CosfaceError if the folder has other crops.
    """
    if folder.exists():
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
        same = names == {crop.name for crop in crops} and all(
            (folder / crop.name).stat().st_size == crop.path.stat().st_size for crop in crops
        )
        if not same:
            raise CosfaceError("this folder has other people's crops", folder, "choose another --out")
        return folder
    atomic.make_folder(folder.parent)
    temporary = atomic.partial(folder)
    with atomic.write_errors(folder):
        shutil.rmtree(temporary, ignore_errors=True)
        for crop in crops:
            (temporary / crop.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(crop.path, temporary / crop.name)
        records = [crop.record for crop in crops if crop.record is not None]
        if records:
            text = "".join(line(record) for record in records)
            (temporary / MANIFEST).write_bytes(text.encode("utf-8", "surrogateescape"))
        temporary.rename(folder)
    return folder
