"""The faces of a test set, as a training set's store holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.outcomes import OnOutcome, Planned, Rejected
from cosface_cli.verify.faces.photos import Photos
from cosface_cli.verify.faces.store import Stores
from cosface_cli.verify.protocols.listed_pairs import first_level


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """A face of the test. path: its file; identity: "" where nobody knows."""

    name: str
    path: str
    identity: str
    hash: str
    vector: NDArray[np.float32]

    @property
    def person(self) -> str:
        """Whom it counts for: a face of nobody known is somebody of his own."""
        return self.identity or self.name


def of_store(path: Path, train: Stores) -> Iterator[Face]:
    """Of a store. Raises ModelMismatch where it is not of the training set's model."""
    require_finished(path)
    with Store(path) as store:
        train.require_alike(store.header, path)
        for row, vector in store.pairs():
            yield Face(row.source, str(Path(row.root) / row.source), row.identity or "", row.hash, vector)


def of_photos(source: Path, photos: Photos, emit: OnOutcome) -> Iterator[Face]:
    """Of photos or crops; the first folder level is the identity."""
    inputs = photos.gallery(str(source), emit)
    emit(Planned(len(inputs)))
    for (given, item), seen in zip(inputs, photos.each(inputs), strict=True):
        if not seen.usable:
            emit(Rejected(given, seen.vectors.reason or "no_face", seen.vectors.words))
            continue
        name = given.removeprefix(f"{source}/")
        assert seen.vectors.vectors is not None
        for vector in seen.vectors.vectors:
            yield Face(name, str(item.place), first_level(name), seen.vectors.hash, vector)
