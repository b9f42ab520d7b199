"""Faces in photos and crops, by name, embedded on request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from cosface_cli.artifacts.crops.manifest import find_crops, is_crop_folder, open_crops
from cosface_cli.engines.photos.pair_photos import stem
from cosface_cli.engines.photos.photo_embedder import PhotoEmbeddings, PhotoOrCrop
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.outcomes import Note, OnOutcome
from cosface_cli.verify.faces import EmbeddingConfig
from cosface_cli.verify.faces.embedding import Embedding
from cosface_cli.verify.faces.source import EmbeddedPhoto, FacePicture, names_by_stem

FEW = 2  # photos that are embedded in this process: starting workers would take longer


class PhotoFaces:
    """Photos and crops as a FaceSource. They are embedded in the requested order, by worker processes."""

    def __init__(
        self, path: Path, inputs: Mapping[str, PhotoOrCrop], config: EmbeddingConfig, embedding: Embedding | None = None
    ) -> None:
        """embedding: embeds them; made from the config if None.

        Raises CosfaceError for an unknown model, detector or fusion, and for crops that do not show all that a model
        needs.
        """
        self.path = path
        self.names = tuple(inputs)
        self._inputs = inputs
        self._choice = config.faces
        self.embedding = embedding or Embedding(config)
        self.embedding.require_cover(list(inputs.values()))
        self.model = self.embedding.model
        self._by_stem: dict[str, str] | None = None

    def __enter__(self) -> PhotoFaces:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""

    @property
    def all_crops(self) -> bool:
        """Whether all of them are crops, which need no detector."""
        return all(item.crop is not None for item in self._inputs.values())

    def find(self, name: str) -> str | None:
        if name in self._inputs:
            return name
        if self._by_stem is None:
            self._by_stem = names_by_stem(self.names)
        return self._by_stem.get(name) or self._by_stem.get(stem(name))

    def photos(self, names: Sequence[str]) -> Iterator[EmbeddedPhoto]:
        """Each of the named photos once, in order."""
        names = list(dict.fromkeys(names))
        inputs = [self._inputs[name] for name in names]
        embed = self.embedding.in_this_process if len(names) <= FEW else self.embedding.in_workers
        for name, item, vectors in zip(names, inputs, embed(inputs), strict=True):
            yield self._photo(name, item, vectors)

    def _photo(self, name: str, item: PhotoOrCrop, vectors: PhotoEmbeddings) -> EmbeddedPhoto:
        crop = item.crop
        record = crop.record if crop is not None else None
        template = self.embedding.embedders[0].template
        return EmbeddedPhoto(
            name=name,
            picture=FacePicture(item.place, vectors.faces[0][0] if crop is None and vectors.faces else None),
            vectors=vectors,
            template=crop.template.name if crop is not None and record is not None else template,
            choice=self._choice,
            photo_hash=record.hash if record is not None else None,
        )


def inputs_of_paths(paths: Sequence[str]) -> dict[str, PhotoOrCrop]:
    """Photos or crops by their paths."""
    files = [Path(path) for path in paths]
    return {
        path: PhotoOrCrop(File(file), crop) for path, file, crop in zip(paths, files, find_crops(files), strict=True)
    }


def inputs_of_gallery(source: str, emit: OnOutcome) -> dict[str, PhotoOrCrop]:
    """The photos of a folder, archive or pattern, or the crops of a crop folder, by their paths."""
    path = Path(source)
    if is_crop_folder(path):
        return {str(path / crop.name): PhotoOrCrop(File(crop.path), crop) for crop in open_crops(path)}
    listing = list_photos(source)
    for note in listing.notes:
        emit(Note(note))
    return {item.display_name: PhotoOrCrop(item.place) for item in listing.items}
