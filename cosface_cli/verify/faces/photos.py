"""Faces from photos and crops, by one model or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cosface_cli.artifacts.crops.manifest import find_crops, is_crop_folder, open_crops
from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.models.calibrations import calibrations_of
from cosface_cli.engines.photos.face_vectors import Input, Vectors
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.listing import list_photos
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.verify import DEFAULT, CompareConfig
from cosface_cli.verify.compare.matching import Matcher
from cosface_cli.verify.compare.photo_warnings import Seen
from cosface_cli.verify.faces.embedding import Embedding

if TYPE_CHECKING:  # h5py is only for who gives a store
    from cosface_cli.artifacts.store.store_file import StoreHeader


class Photos:
    """Embeds photos as a configuration says; like the rows of a store, where they are to be compared with such."""

    def __init__(self, config: CompareConfig, store: StoreHeader | None = None, path: Path | None = None) -> None:
        """store: the header of the store at path. Raises ModelMismatch where the models are not the store's."""
        if store is not None:
            config = _like(config, store, path)
        self._choice = config.faces
        self._embedding = Embedding(config, thumbnails=True)
        identity = self._embedding.identity
        if store is not None and (identity.id, self._embedding.size) != (store.model_id, store.size):
            problem = f"embeddings of {store.model} ({store.model_id}), not of {identity.name} ({identity.id})"
            raise ModelMismatch(problem, path, "name the store's model with --model")
        models, (embedder, *others) = config.models or DEFAULT, self._embedding.embedders
        calibrations = {} if others else calibrations_of(models[0], embedder)
        thresholds = {} if others else embedder.thresholds
        self.matcher = Matcher(identity, config, calibrations, thresholds)

    def of(self, names: Sequence[str]) -> list[Seen]:
        """The faces of a few photos, embedded in this process."""
        inputs = self._named(names)
        return [self._seen(*found) for found in zip(names, inputs, self._embedding.here(inputs), strict=True)]

    def each(self, inputs: Sequence[tuple[str, Input]]) -> Iterator[Seen]:
        """The faces of many, in order, by as many processes as were asked for."""
        results = self._embedding.each([item for _, item in inputs])
        for (name, item), vectors in zip(inputs, results, strict=True):
            yield self._seen(name, item, vectors)

    def named(self, names: Sequence[str]) -> list[tuple[str, Input]]:
        """Photos or crops by their paths."""
        return list(zip(names, self._named(names), strict=True))

    def gallery(self, source: str, emit: OnOutcome) -> list[tuple[str, Input]]:
        """The photos of a folder, archive or pattern, or the crops of a crop folder."""
        path = Path(source)
        if is_crop_folder(path):
            crops = open_crops(path)
            found = [(str(path / crop.name), Input(File(crop.path), crop)) for crop in crops]
        else:
            listing = list_photos(source)
            for note in listing.notes:
                emit(Note(note))
            found = [(item.display_name, Input(item.place)) for item in listing.items]
        self._embedding.require_cover([item for _, item in found])
        return found

    def _named(self, names: Sequence[str]) -> list[Input]:
        paths = [Path(name) for name in names]
        inputs = [Input(File(path), crop) for path, crop in zip(paths, find_crops(paths), strict=True)]
        self._embedding.require_cover(inputs)
        return inputs

    def _seen(self, name: str, item: Input, vectors: Vectors) -> Seen:
        crop = item.crop
        record = crop.record if crop is not None else None
        shown = crop.template.name if crop is not None and record is not None else self._embedding.embedders[0].template
        return Seen(name, vectors, shown, self._choice, record.hash if record is not None else None)


def _like(config: CompareConfig, store: StoreHeader, path: Path | None) -> CompareConfig:
    """The same by the model and the flip with which a store was embedded."""
    if config.flip not in ("none", store.flip):
        raise CosfaceError(f"written with --flip {store.flip}", path, "leave --flip out")
    if config.models:
        return replace(config, flip=store.flip)
    if store.model not in EMBEDDERS:
        problem = f"it holds embeddings of {store.model!r} ({store.model_id})"
        raise CosfaceError(problem, path, "name its run folder or weights with --model")
    return replace(config, models=(store.model,), flip=store.flip)
