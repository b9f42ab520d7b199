"""Opening the faces below a path: a store, crops, or photos."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cosface_cli.engines.photos.pair_photos import named_inputs
from cosface_cli.engines.photos.photo_embedder import PhotoOrCrop
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.options import flag_of
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.verify.faces import EmbeddingConfig
from cosface_cli.verify.faces.photos import PhotoFaces
from cosface_cli.verify.faces.source import FaceSource

if TYPE_CHECKING:  # h5py is loaded only for a store
    from cosface_cli.verify.faces.store import StoreFaces

SIGNATURE = b"\x89HDF\r\n\x1a\n"  # the first bytes of an HDF5 file
PHOTO_OPTIONS = frozenset({"detector", "faces", "min_face"})  # without effect on crops and stores


def is_store(path: Path) -> bool:
    """Whether a path is an HDF5 file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def open_faces(config: EmbeddingConfig, root: Path, crops_template: str | None, emit: OnOutcome) -> FaceSource:
    """The faces below root: a store, a crop folder, or photos.

    crops_template: template of the crops in root, which has no manifest. Raises CosfaceError if there is no face, or
    for options without effect on them.
    """
    if is_store(root):
        return open_store(config, root, crops_template)
    return open_inputs(config, root, named_inputs(root, crops_template), emit)


def open_inputs(config: EmbeddingConfig, root: Path, inputs: Mapping[str, PhotoOrCrop], emit: OnOutcome) -> PhotoFaces:
    """Photos or crops by name. Emits a note on options without effect on crops."""
    faces = PhotoFaces(root, inputs, config)
    unused = sorted(config.changed() & PHOTO_OPTIONS)
    if unused and faces.all_crops:
        flags = ", ".join(flag_of(type(config), name) for name in unused)
        emit(Note(f"{root}: these are crops, so options for photos have no effect: {flags}"))
    return faces


def open_store(config: EmbeddingConfig, path: Path, crops_template: str | None = None) -> StoreFaces:
    """The faces of a store that no run is filling.

    Raises ModelMismatch if the config names another model or flip than the store's, CosfaceError for an option that
    applies only to photos and crops.
    """
    from cosface_cli.artifacts.store.store_series import require_finished
    from cosface_cli.engines.embedders.open_embedder import open_embedder
    from cosface_cli.engines.embedders.vectors import identity_of
    from cosface_cli.verify.faces.store import StoreFaces

    require_finished(path)
    faces = StoreFaces(path)
    if len(config.models) > 1:
        raise CosfaceError("a store is of one model", path, "give photos or crops, which several models can embed")
    changed = config.changed()
    if config.models:
        wanted = identity_of(open_embedder(config.models[0]), faces.model.flip or "none")
        faces.model.require_same(wanted, path, "leave --model out, or embed again")
    if "flip" in changed and config.flip != faces.model.flip:
        problem = f"made with --flip {faces.model.flip}, expected --flip {config.flip}"
        raise ModelMismatch(problem, path, "leave --flip out, or embed again")
    for name in sorted(changed & {"fuse", *PHOTO_OPTIONS}):
        raise CosfaceError(f"{flag_of(type(config), name)} has no effect on a store", path, "leave it out")
    if crops_template is not None:
        raise CosfaceError("--template has no effect on a store", path, "leave it out")
    return faces
