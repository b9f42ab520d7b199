"""What embed works on: the crops of a crop folder, or the photos of a source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cosface_cli.artifacts.crops.manifest import is_crop_folder, open_crops
from cosface_cli.artifacts.store.store_update import Key
from cosface_cli.embed import EmbedConfig
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.photos.limits import limits_of
from cosface_cli.engines.photos.photo_embedder import PhotoOrCrop
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.list_photos import absolute, list_photos, unused_every
from cosface_cli.options import flag_of
from cosface_cli.outcomes import Note, OnOutcome

PHOTO_OPTIONS = (
    "detector", "faces", "min_face", "min_score", "max_megapixels", "min_sharpness", "max_yaw", "try_rotations", "root"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EmbedTask:
    """One crop or photo."""

    key: Key
    """Root and name, as stored."""
    display_name: str
    """As the user would type it."""
    identity: str | None
    input: PhotoOrCrop


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedTasks:
    """All crops or photos of a run."""

    tasks: list[EmbedTask]
    settings: str
    """How faces are detected, as stored with each row."""
    root: str
    """The root in all keys."""
    whole: bool
    """Whether the tasks are all that the source contains."""
    files: tuple[Path, ...]
    """What a worker must be able to read."""


def embed_tasks(config: EmbedConfig, emit: OnOutcome) -> EmbedTasks:
    """List config.source. Raises CosfaceError for a missing source, a damaged manifest or an unknown name."""
    if config.crops_template is not None or (config.source != "-" and is_crop_folder(Path(config.source))):
        return _crop_tasks(config, emit)
    return _photo_tasks(config, emit)


def _crop_tasks(config: EmbedConfig, emit: OnOutcome) -> EmbedTasks:
    for note in unused_every(config.source, config.every, 0):
        emit(Note(note))
    defaults = EmbedConfig(source=config.source, store=config.store)
    unused = [flag_of(EmbedConfig, name) for name in PHOTO_OPTIONS if getattr(config, name) != getattr(defaults, name)]
    if unused:
        emit(Note(f"{config.source}: these are crops, so options for photos have no effect: {', '.join(unused)}"))
    root = absolute(config.source)
    crops = open_crops(root, config.crops_template)
    tasks = [
        EmbedTask(
            (str(root), crop.name),
            str(Path(config.source) / crop.name),
            crop.identity,
            PhotoOrCrop(File(crop.path), crop),
        )
        for crop in crops
    ]
    return EmbedTasks(
        tasks=tasks,
        settings=f"crops template={crops[0].template.name}",
        root=str(root),
        whole=True,
        files=(root,),
    )


def _photo_tasks(config: EmbedConfig, emit: OnOutcome) -> EmbedTasks:
    listing = list_photos(config.source, None, config.every, config.root)
    for note in listing.notes:
        emit(Note(note))
    root = str(absolute(listing.root))
    detector = open_detector(config.detector, config.min_face).name
    has_identities = config.source != "-" or config.root is not None  # else the first folder level may be anything
    tasks = [
        EmbedTask(
            (root, item.name), item.display_name, item.identity if has_identities else None, PhotoOrCrop(item.place)
        )
        for item in listing.items
    ]
    settings = f"photos detector={detector} faces={config.faces} {limits_of(config).settings}"
    if config.try_rotations:
        settings += " try_rotations"
    return EmbedTasks(tasks=tasks, settings=settings, root=root, whole=listing.whole, files=listing.files)
