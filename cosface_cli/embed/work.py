"""What there is to embed: the crops of a folder, or the photos of a source, each as a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosface_cli.artifacts.crops.manifest import Crop, is_crop_folder, open_crops
from cosface_cli.artifacts.store.store_update import Key
from cosface_cli.embed import EmbedConfig
from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.photos.face_vectors import Input
from cosface_cli.engines.photos.limits import limits_of
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.listing import absolute, list_photos, unused_every
from cosface_cli.outcomes import Note, OnOutcome

FOR_PHOTOS = ["detector", "faces", "min_face", "min_score", "max_megapixels", "min_sharpness", "max_yaw"]
FOR_PHOTOS += ["try_rotations", "root"]


@dataclass(frozen=True, slots=True)
class Task:
    """One source. key: root and name as a store knows it; given: as typed."""

    key: Key
    given: str
    identity: str | None
    input: Input


@dataclass(frozen=True, slots=True)
class Work:
    """settings: how the faces of the tasks are found; root: of all their keys; whole: whether the tasks are all that
    the source holds; files: what a worker must see."""

    tasks: list[Task]
    settings: str
    root: str
    whole: bool
    files: tuple[Path, ...]


def work_of(config: EmbedConfig, emit: OnOutcome) -> Work:
    """List config.source. Raises CosfaceError for a missing source, a damaged manifest or an unknown name."""
    if config.crops_template is not None or (config.source != "-" and is_crop_folder(Path(config.source))):
        return _crop_work(config, emit)
    return _photo_work(config, emit)


def _crop_work(config: EmbedConfig, emit: OnOutcome) -> Work:
    for note in unused_every(config.source, config.every, 0):
        emit(Note(note))
    usual = EmbedConfig(config.source, config.store)
    unused = [name for name in FOR_PHOTOS if getattr(config, name) != getattr(usual, name)]
    if unused:
        flags = ", ".join("--" + name.replace("_", "-") for name in unused)
        emit(Note(f"{config.source}: these are crops already, {flags} changes nothing"))
    root = absolute(config.source)
    crops: list[Crop] = open_crops(root, config.crops_template)
    tasks = [
        Task((str(root), crop.name), str(Path(config.source) / crop.name), crop.identity, Input(File(crop.path), crop))
        for crop in crops
    ]
    return Work(tasks, f"crops template={crops[0].template.name}", str(root), whole=True, files=(root,))


def _photo_work(config: EmbedConfig, emit: OnOutcome) -> Work:
    listing = list_photos(config.source, None, config.every, config.root)
    for note in listing.notes:
        emit(Note(note))
    root = str(absolute(listing.root))
    detector = open_detector(config.detector, config.min_face).name
    named = config.source != "-" or config.root is not None  # else the first folder level is anything
    tasks = [
        Task((root, item.name), item.given, item.identity if named else None, Input(item.place))
        for item in listing.items
    ]
    settings = f"photos detector={detector} faces={config.faces} {limits_of(config).settings}"
    if config.try_rotations:
        settings += " try_rotations"
    return Work(tasks, settings, root, listing.whole, listing.files)
