"""Photos of a test set that are a copy or a mirror image of one in the training set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.engines.photos.copy_detection import Thumbnail, copy_kind
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.verify.faces.photos import PhotoFaces
from cosface_cli.verify.faces.source import EmbeddedPhoto
from cosface_cli.verify.leakage.shared_faces import SharedFaces
from cosface_cli.verify.leakage.tested_faces import FaceOfTest


def copies_of(
    test: Sequence[FaceOfTest],
    shared: SharedFaces,
    open_photos: Callable[[Sequence[str]], PhotoFaces] | None,
    emit: OnOutcome,
) -> dict[int, tuple[str, float, FaceRow]]:
    """The copies, by number of the test face: the kind ("copy" or "mirror"), the cosine, and the training row.

    open_photos: opens photos by their paths; None if no model can embed them.
    """
    near = {number: faces for number, faces in shared.near.items() if number not in shared.files}
    if open_photos is None or not near:
        if near:
            emit(Note("copies are not searched for: name the stores' weights with --model"))
        return {}
    paths = dict.fromkeys(test[number].path for number in near)
    paths.update(dict.fromkeys(_path(row) for faces in near.values() for _, row, _ in faces))
    files = [path for path in paths if Path(path).is_file()]
    if len(files) < len(paths):
        emit(Note(f"{len(paths) - len(files)} of {len(paths)} photos cannot be compared: deleted, or in an archive"))
    photos = {photo.name: photo for photo in open_photos(files).photos(files)}
    copies: dict[int, tuple[str, float, FaceRow]] = {}
    for number, faces in near.items():
        tested = _thumbnail(photos.get(test[number].path), test[number].vector)
        for cos, row, vector in faces:
            trained = _thumbnail(photos.get(_path(row)), vector)
            kind = copy_kind(tested, trained) if tested is not None and trained is not None else None
            if kind is not None:
                copies[number] = (kind, cos, row)
                break
    return copies


def _thumbnail(photo: EmbeddedPhoto | None, vector: NDArray[np.float32]) -> Thumbnail | None:
    """The thumbnail of the face with this vector; of several faces the nearest one."""
    if photo is None or not photo.has_face or photo.vectors.thumbnails is None or photo.vectors.vectors is None:
        return None
    return np.asarray(photo.vectors.thumbnails[int(np.argmax(photo.vectors.vectors @ vector))])


def _path(row: FaceRow) -> str:
    return str(Path(row.root) / row.source)
