"""What is searched for: photos, crops, folders of either, stores, or paths on standard input, as vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops.manifest import CropFinder, is_crop_folder, open_crops
from cosface_cli.artifacts.index.index_folder import IndexHeader
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.photos.face_vectors import FaceVectors, Input, Vectors, VectorsOpener
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.reader import CHOICES
from cosface_cli.engines.photos.warp import require_cover
from cosface_cli.engines.runners.local import run
from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.listing import list_photos
from cosface_cli.engines.sources.paths import list_paths, stream_paths
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.geometry import template
from cosface_cli.maths.unit_vectors import TOLERANCE
from cosface_cli.outcomes import Note, OnOutcome, Planned, Rejected
from cosface_cli.registry import one_of

CHUNK = 8  # photos handed to a worker at a time
BLOCK = 256  # rows of a store given at a time


@dataclass(frozen=True, slots=True)
class Asked:
    """probes: words of the command line; model: what embeds photos, None for the index's own; the rest as for align."""

    probes: tuple[str, ...]
    model: str | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0
    workers: int = 0
    min_score: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """name: as it was given, or the source of a store's row; vectors (F, D): of its faces; scores: (F,) the
    detector's; identity: the first folder level of a crop or of a store's row."""

    name: str
    vectors: NDArray[np.float32]
    scores: tuple[float, ...]
    identity: str | None = None


def read_probes(asked: Asked, header: IndexHeader, root: Path, emit: OnOutcome) -> Iterator[list[Probe | Rejected]]:
    """Probes in the order given but for stores, which come first; in lists of what is ready together: a path on
    standard input as soon as it was read.

    root: the index. Raises ModelMismatch for a store, or a model, other than the index's.
    """
    one_of(asked.faces, CHOICES, "--faces")
    stores = [Path(probe) for probe in asked.probes if probe.endswith(".h5") and Path(probe).is_file()]
    photos = [probe for probe in asked.probes if Path(probe) not in stores]
    if stores and not photos and replace(asked, workers=0) != Asked(asked.probes):
        emit(Note("all probes are stores: what was said of photos (--model, --detector, --faces, ...) changes nothing"))
    for path in stores:
        yield from _of_store(path, header)
    if photos:
        yield from _of_photos(asked, photos, header, root, emit)


def _of_store(path: Path, header: IndexHeader) -> Iterator[list[Probe | Rejected]]:
    with Store(path) as store:
        _require_model(store.header.model, store.header.model_id, header, str(path))
        if store.header.flip != header.flip:
            problem = f"written with --flip {store.header.flip}, the index with --flip {header.flip}"
            raise CosfaceError(problem, path, "embed the probes like the index")
        if store.header.size != header.size:
            problem = f"embeddings of {store.header.size} numbers, the index has {header.size}"
            raise ModelMismatch(problem, path, "embed the probes like the index")
        for low in range(0, len(store), BLOCK):
            high = min(low + BLOCK, len(store))
            found: list[Probe | Rejected] = []
            for row, vector in zip(store.rows(low, high), store.vectors(low, high), strict=True):
                length = float(np.linalg.norm(vector.astype(np.float64)))
                if abs(length - 1) <= TOLERANCE:  # not so where it is not a number
                    found.append(Probe(row.source, vector[None], (row.score,), row.identity))
                else:
                    words = f"{path}: the embedding of {row.source} has length {length:g}, not 1; embed it again"
                    found.append(Rejected(row.source, "bad_embedding", words))
            yield found


def _of_photos(
    asked: Asked, photos: list[str], header: IndexHeader, root: Path, emit: OnOutcome
) -> Iterator[list[Probe | Rejected]]:
    model = asked.model or (header.model if header.model in EMBEDDERS else None)
    if model is None:
        problem = f"the index holds embeddings of {header.model!r} ({header.model_id})"
        raise CosfaceError(problem, root, "name its run folder or weights with --model")
    embedder = open_embedder(model)
    _require_model(embedder.name, embedder.model_id, header, str(root))
    open_detector(asked.detector, asked.min_face)  # a wrong name fails before any work
    flip: Any = header.flip
    choice: Any = asked.faces
    how = VectorsOpener(
        (model,), flip, asked.detector, choice, Limits(min_face=asked.min_face, min_score=asked.min_score)
    )
    if photos == ["-"] and asked.workers <= 1:
        single_threaded()
        work = FaceVectors([embedder], how)
        yield from _of_lines(work, embedder.template)
        return
    listed = list(_listed(photos, emit))
    for name in {item.crop.template.name for _, item in listed if item.crop is not None}:
        require_cover(template(name), template(embedder.template), root)
    emit(Planned(len(listed)))
    chunks = [listed[i : i + CHUNK] for i in range(0, len(listed), CHUNK)]
    inputs = ([item for _, item in chunk] for chunk in chunks)
    workers = min(asked.workers or cpu_count(), len(chunks))
    for chunk, (_, results) in zip(chunks, run(inputs, how, workers), strict=True):
        yield [_probe(given, item, result) for (given, item), (result,) in zip(chunk, results, strict=True)]


def _of_lines(work: FaceVectors, need: str) -> Iterator[list[Probe | Rejected]]:
    """Each path of standard input, answered before the next one is waited for."""
    crops = CropFinder()
    for given in stream_paths(sys.stdin.buffer):
        try:
            crop = crops.find(Path(given))
            if crop is not None:
                require_cover(crop.template, template(need), Path(given))
            items = [Input(File(Path(given)), crop)] if crop else [Input(i.place) for i in list_paths([given]).items]
        except CosfaceError as error:
            yield [Rejected(given, "unusable", str(error))]
            continue
        for item in items:
            ((result,),) = work([item])
            yield [_probe(str(item.place), item, result)]


def _listed(photos: list[str], emit: OnOutcome) -> Iterator[tuple[str, Input]]:
    crops = CropFinder()
    for given in photos:
        path = Path(given)
        if given != "-" and is_crop_folder(path):
            for crop in open_crops(path):
                yield str(path / crop.name), Input(File(crop.path), crop)
            continue
        listing = list_photos(given)
        for note in listing.notes:
            emit(Note(note))
        for item in listing.items:
            yield item.display_name, Input(item.place, None if path.is_dir() else crops.find(Path(item.display_name)))


def _probe(given: str, item: Input, result: Vectors) -> Probe | Rejected:
    if result.reason is not None or result.vectors is None:
        return Rejected(given, result.reason or "no_face", result.words)
    scores = tuple(score for _, score, _ in result.faces)
    return Probe(given, result.vectors, scores, item.crop.identity if item.crop else None)


def _require_model(name: str, model_id: str, header: IndexHeader, path: str) -> None:
    if model_id != header.model_id:
        raise ModelMismatch(
            f"embeddings of {name} ({model_id}) cannot be searched in an index of {header.model} ({header.model_id})",
            path,
            "embed with the index's model, or build an index of the other",
        )
