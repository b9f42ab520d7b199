"""The faces of a test set, embedded by the model of the training set's store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.outcomes import OnOutcome, Planned, Rejected
from cosface_cli.verify.faces.photos import PhotoFaces
from cosface_cli.verify.faces.source import first_level


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FaceOfTest:
    """A face of the test set."""

    name: str
    path: str
    """Path of its file."""
    identity: str
    """"" if it is not known."""
    hash: str
    """Hash of its file."""
    vector: NDArray[np.float32]

    @property
    def person(self) -> str:
        """Its identity; a face without identity counts as a person."""
        return self.identity or self.name


def faces_of_store(path: Path, model: ModelIdentity) -> Iterator[FaceOfTest]:
    """The faces of a store. Raises ModelMismatch if it is of another model than the training set."""
    require_finished(path)
    with Store(path) as store:
        store.model.require_same(model, path, "embed both sets with the same model")
        for row, vector in store.pairs():
            yield FaceOfTest(
                name=row.source,
                path=str(Path(row.root) / row.source),
                identity=row.identity or "",
                hash=row.hash,
                vector=vector,
            )


def faces_of_photos(photos: PhotoFaces, paths: Sequence[str], emit: OnOutcome) -> Iterator[FaceOfTest]:
    """The faces of photos or crops by their paths; the first folder level below photos.path is the identity."""
    emit(Planned(len(paths)))
    for photo in photos.photos(paths):
        if photo.vectors.reason is not None or photo.vectors.vectors is None:
            emit(Rejected(photo.name, photo.vectors.reason or "no_face", photo.vectors.words))
            continue
        name = photo.name.removeprefix(f"{photos.path}/")
        for vector in photo.vectors.vectors:
            yield FaceOfTest(
                name=name,
                path=str(photo.picture.place),
                identity=first_level(name),
                hash=photo.vectors.hash,
                vector=vector,
            )
