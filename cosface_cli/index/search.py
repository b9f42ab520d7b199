"""Probes to the nearest faces of an index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.crops import find_crop, is_crop_folder, open_crops
from cosface_cli.artifacts.index_files import IndexHeader, IndexRows, read_header
from cosface_cli.artifacts.store import Store
from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.embedders import EMBEDDERS
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.face_vectors import Input, VectorsOpener
from cosface_cli.engines.reader import CHOICES, Limits
from cosface_cli.engines.runners.local import cpu_count, run
from cosface_cli.engines.search import SEARCHERS, Searcher
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.listing import list_photos
from cosface_cli.engines.warp import require_cover
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.index import SearchConfig, SearchReport
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Done, Note, Planned, Rejected, Tally, Tell, ignore
from cosface_cli.registry import one_of

CHUNK = 8  # photos handed to a worker at a time
UNIT = 1e-3  # how far from 1 the length of a stored vector may be
BLOCK = 256  # rows of a store searched at a time


@dataclass(frozen=True, slots=True)
class _Probe:
    given: str
    input: Input


def search(config: SearchConfig, tell: Tell = ignore) -> SearchReport:
    """The k nearest rows of the index for each face of each probe, best first; one Done a probe.

    A photo without a usable face is Rejected. Raises ModelMismatch for a store, or a model, other than the index's.
    """
    one_of(config.faces, CHOICES, "--faces")
    if config.k < 1:
        raise CosfaceError(f"-k {config.k} asks for nothing", mend="give 1 or more")
    header = read_header(config.index)
    searcher: Searcher = SEARCHERS.load(header.engine).open(config.index / header.vectors, header.size, header.rows)
    tally = Tally()
    hits = 0
    with IndexRows(config.index / header.names, header.rows) as rows:
        finder = _Finder(searcher, rows, config.k)

        def count(outcome: Done | Rejected) -> None:
            nonlocal hits
            tally.add(outcome)
            hits += len(outcome.rows) if isinstance(outcome, Done) else 0
            tell(outcome)

        stores = [Path(probe) for probe in config.probes if probe.endswith(".h5") and Path(probe).is_file()]
        photos = [probe for probe in config.probes if Path(probe) not in stores]
        if stores and not photos and (config.model or config.detector != "mtcnn"):
            tell(Note("all probes are stores: --model and --detector change nothing"))
        for path in stores:
            for name, vector in _store_rows(path, header):
                length = float(np.linalg.norm(vector.astype(np.float64)))
                if abs(length - 1) <= UNIT:  # not so where it is not a number
                    count(Done(name, finder.rows_of(name, vector[None])))
                else:
                    words = f"{path}: the embedding of {name} has length {length:g}, not 1; embed it again"
                    count(Rejected(name, "bad_embedding", words))
        if photos:
            for outcome in _photo_outcomes(config, header, photos, finder, tell):
                count(outcome)
    return SearchReport(tally.done, hits, tally.rejected, header.rows)


class _Finder:
    def __init__(self, searcher: Searcher, rows: IndexRows, k: int) -> None:
        self._searcher, self._rows, self._k = searcher, rows, k

    def rows_of(self, probe: str, vectors: NDArray[np.float32]) -> tuple[dict[str, Any], ...]:
        """Output rows for the faces (N, D) of one probe."""
        cosines, ids = self._searcher.search(vectors, self._k)
        out = []
        for face, (own_cosines, own_ids) in enumerate(zip(cosines, ids, strict=True), 1):
            for rank, (cos, number) in enumerate(zip(own_cosines, own_ids, strict=True), 1):
                row = self._rows[int(number)]
                out.append(
                    {
                        "probe": probe,
                        "status": "ok",
                        "reason": None,
                        "probe_face": face,
                        "rank": rank,
                        "cos": round(float(cos), 6),
                        "identity": row.identity,
                        "source": row.source,
                        "face": row.face,
                        "box": [round(v, 1) for v in row.box],
                    }
                )
        return tuple(out)


def _store_rows(path: Path, header: IndexHeader) -> Iterator[tuple[str, NDArray[np.float32]]]:
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
            for row, vector in zip(store.rows(low, high), store.vectors(low, high), strict=True):
                yield row.source, vector


def _photo_outcomes(
    config: SearchConfig, header: IndexHeader, photos: list[str], finder: _Finder, tell: Tell
) -> Iterator[Done | Rejected]:
    model = config.model or (header.model if header.model in EMBEDDERS else None)
    if model is None:
        problem = f"the index holds embeddings of {header.model!r} ({header.model_id})"
        raise CosfaceError(problem, config.index, "name its run folder or weights with --model")
    embedder = open_embedder(model)
    _require_model(embedder.name, embedder.model_id, header, str(config.index))
    open_detector(config.detector, config.min_face)  # a wrong name fails before any work
    probes = _probes(photos, tell)
    for name in {probe.input.crop.template.name for probe in probes if probe.input.crop is not None}:
        require_cover(template(name), template(embedder.template), config.index)
    tell(Planned(len(probes)))
    flip: Any = header.flip
    choice: Any = config.faces
    how = VectorsOpener((model,), flip, config.detector, choice, Limits(config.min_face))
    chunks = [probes[i : i + CHUNK] for i in range(0, len(probes), CHUNK)]
    inputs = ([probe.input for probe in chunk] for chunk in chunks)
    workers = min(config.workers or cpu_count(), len(chunks))
    for chunk, (_, results) in zip(chunks, run(inputs, how, workers), strict=True):
        for probe, (result,) in zip(chunk, results, strict=True):
            if result.reason is not None or result.vectors is None:
                yield Rejected(probe.given, result.reason or "no_face", result.words)
            else:
                yield Done(probe.given, finder.rows_of(probe.given, result.vectors))


def _probes(photos: list[str], tell: Tell) -> list[_Probe]:
    probes = []
    for given in photos:
        path = Path(given)
        if given != "-" and is_crop_folder(path):
            probes += [_Probe(str(path / crop.name), Input(File(crop.path), crop)) for crop in open_crops(path)]
            continue
        listing = list_photos(given)
        for note in listing.notes:
            tell(Note(note))
        crops = {} if path.is_dir() else {item.given: find_crop(Path(item.given)) for item in listing.items}
        probes += [_Probe(item.given, Input(item.place, crops.get(item.given))) for item in listing.items]
    return probes


def _require_model(name: str, model_id: str, header: IndexHeader, path: str) -> None:
    if model_id != header.model_id:
        raise ModelMismatch(
            f"embeddings of {name} ({model_id}) cannot be searched in an index of {header.model} ({header.model_id})",
            path,
            "embed with the index's model, or build an index of the other",
        )
