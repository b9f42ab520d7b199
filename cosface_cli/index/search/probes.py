"""The probes of a search: faces of photos, crops, folders, stores, or paths on standard input, as vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import CropFinder, is_crop_folder, open_crops
from cosface_cli.artifacts.index.index_folder import IndexHeader
from cosface_cli.artifacts.model_identity import ModelIdentity, as_flip
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.photo_embedder import PhotoEmbedder, PhotoEmbedderOpener, PhotoEmbeddings, PhotoOrCrop
from cosface_cli.engines.photos.warp import require_cover
from cosface_cli.engines.runners.local import run
from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.list_photos import list_photos
from cosface_cli.engines.sources.paths import list_paths, stream_paths
from cosface_cli.errors import CosfaceError
from cosface_cli.index import ProbeConfig
from cosface_cli.maths.geometry import template
from cosface_cli.options import parameters
from cosface_cli.outcomes import Note, OnOutcome, Planned, Rejected

CHUNK = 8  # photos handed to a worker at a time
BLOCK = 256  # rows of a store read at a time
_OTHER_MODEL = "embed the probes with the index's model, or build an index of the other one"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Probe:
    """The faces of a photo, a crop or a store's row."""

    name: str
    """The path from the command line, or the source of a store's row."""
    vectors: NDArray[np.float32]
    """(F, D): one for each face, of unit length."""
    scores: tuple[float, ...]
    """(F,): the detection score of each face, 0..1."""
    identity: str | None = None
    """The first folder level of a crop or of a store's row."""


Batch = list[Probe | Rejected]


def read_probes(config: ProbeConfig, header: IndexHeader, emit: OnOutcome) -> Iterator[Batch]:
    """The probes of a config in order, except that stores come first. A batch has probes that were embedded together;
    for - each path on standard input is a batch, as soon as it is read.

    Raises ModelMismatch for a store, or a model, other than the index's.
    """
    stores = [Path(probe) for probe in config.probes if probe.endswith(".h5") and Path(probe).is_file()]
    photos = [probe for probe in config.probes if Path(probe) not in stores]
    if stores and not photos and _has_photo_options(config):
        emit(Note("all probes are stores: options for photos (--model, --detector, --faces, ...) have no effect"))
    for path in stores:
        yield from _store_probes(path, header)
    if photos:
        yield from _photo_probes(config, photos, header, emit)


def _has_photo_options(config: ProbeConfig) -> bool:
    """Whether an option that changes how photos are embedded has another value than its default."""
    options = (option for option in parameters(ProbeConfig) if option.name not in ("index", "probes", "workers"))
    return any(getattr(config, option.name) != option.default for option in options)


def _store_probes(path: Path, header: IndexHeader) -> Iterator[Batch]:
    with Store(path) as store:
        store.model.require_same(header.identity, path, _OTHER_MODEL)
        for block in store.blocks(BLOCK):
            rejected = block.rejected()
            yield [
                Probe(name=row.source, vectors=vector[None], scores=(row.score,), identity=row.identity)
                if is_unit
                else next(rejected)
                for row, vector, is_unit in zip(block.rows, block.vectors, block.unit, strict=True)
            ]


def _photo_probes(config: ProbeConfig, photos: list[str], header: IndexHeader, emit: OnOutcome) -> Iterator[Batch]:
    model = config.model or (header.model if header.model in EMBEDDERS else None)
    if model is None:
        problem = f"the index holds embeddings of {header.model!r} ({header.model_id})"
        raise CosfaceError(problem, config.index, "name its run folder or weights with --model")
    embedder = open_embedder(model)
    ModelIdentity(name=embedder.name, id=embedder.model_id).require_same(header.identity, config.index, _OTHER_MODEL)
    open_detector(config.detector, config.min_face)  # a wrong name fails before any work
    limits = Limits(min_face=config.min_face, min_score=config.min_score)
    opener = PhotoEmbedderOpener(
        models=(model,), flip=as_flip(header.flip), detector=config.detector, faces=config.faces, limits=limits
    )
    if photos == ["-"] and config.workers <= 1:
        single_threaded()
        yield from _streamed_probes(PhotoEmbedder([embedder], opener), embedder.template)
        return
    named_inputs = list(_named_inputs(photos, emit))
    for name in {item.crop.template.name for _, item in named_inputs if item.crop is not None}:
        require_cover(template(name), template(embedder.template), config.index)
    emit(Planned(len(named_inputs)))
    chunks = [named_inputs[i : i + CHUNK] for i in range(0, len(named_inputs), CHUNK)]
    inputs = ([item for _, item in chunk] for chunk in chunks)
    workers = min(config.workers or cpu_count(), len(chunks))
    for chunk, (_, results) in zip(chunks, run(inputs, opener, workers), strict=True):
        yield [_probe(name, item, result) for (name, item), (result,) in zip(chunk, results, strict=True)]


def _streamed_probes(embed: PhotoEmbedder, needed_template: str) -> Iterator[Batch]:
    """The probes of each path on standard input, embedded before the next path is read."""
    crops = CropFinder()
    for path in stream_paths(sys.stdin.buffer):
        try:
            crop = crops.find(Path(path))
            if crop is not None:
                require_cover(crop.template, template(needed_template), Path(path))
                items = [PhotoOrCrop(File(Path(path)), crop)]
            else:
                items = [PhotoOrCrop(item.place) for item in list_paths([path]).items]
        except CosfaceError as error:
            yield [Rejected(path, "unusable", str(error))]
            continue
        for item in items:
            ((result,),) = embed([item])
            yield [_probe(str(item.place), item, result)]


def _named_inputs(photos: list[str], emit: OnOutcome) -> Iterator[tuple[str, PhotoOrCrop]]:
    """All photos and crops that the arguments name, each with its name."""
    crops = CropFinder()
    for argument in photos:
        path = Path(argument)
        if argument != "-" and is_crop_folder(path):
            for crop in open_crops(path):
                yield str(path / crop.name), PhotoOrCrop(File(crop.path), crop)
            continue
        listing = list_photos(argument)
        for note in listing.notes:
            emit(Note(note))
        for item in listing.items:
            crop_of_file = None if path.is_dir() else crops.find(Path(item.display_name))
            yield item.display_name, PhotoOrCrop(item.place, crop_of_file)


def _probe(name: str, item: PhotoOrCrop, result: PhotoEmbeddings) -> Probe | Rejected:
    if result.reason is not None or result.vectors is None:
        return Rejected(name, result.reason or "no_face", result.words)
    scores = tuple(score for _, score, _ in result.faces)
    identity = item.crop.identity if item.crop else None
    return Probe(name=name, vectors=result.vectors, scores=scores, identity=identity)
