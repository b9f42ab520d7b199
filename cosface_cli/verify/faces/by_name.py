"""Faces by name and their embeddings: from photos, from crops, or from a store that holds them already."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.store.store_file import SIGNATURE, Store, StoreHeader
from cosface_cli.artifacts.store.store_series import require_finished
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.photos.face_vectors import Input
from cosface_cli.engines.photos.pair_photos import named_inputs, stem
from cosface_cli.engines.photos.reader import CHOICES
from cosface_cli.engines.sources import File
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.unit_vectors import are_unit
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, Rejected
from cosface_cli.registry import one_of
from cosface_cli.verify import ProtocolConfig, flag_of
from cosface_cli.verify.calibration import CalibrateConfig
from cosface_cli.verify.faces.embedding import Embedding
from cosface_cli.verify.figures.pair_scores import Shown

FOR_PHOTOS = {"detector", "faces", "min_face"}  # crops and stores do not need them
Config = ProtocolConfig | CalibrateConfig


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """vectors: (N, D) float32 of unit length, NaN where a name gave none; scores: (N,) the detector's, 0 for crops;
    shown: what to look at; missing: names that gave none; data: a hash of the names and of the files behind them."""

    vectors: NDArray[np.float32]
    scores: NDArray[np.float64]
    shown: tuple[Shown, ...]
    missing: tuple[str, ...]
    data: str


class Faces(Protocol):
    """What can be embedded. names: in order; model, model_id, flip: what embeds, or has embedded, them."""

    names: tuple[str, ...]
    model: str
    model_id: str
    flip: str

    def find(self, name: str) -> str | None:
        """The name that a list means: the same, or the same with another ending or none."""
        ...

    def embed(self, names: Sequence[str], emit: OnOutcome) -> Embedded:
        """The embeddings of some names, in their order; each is told."""
        ...


def open_faces(config: Config, root: Path) -> Faces:
    """The faces under root: a store, a crop folder, or photos. Raises CosfaceError where there are none."""
    if is_store(root):
        return StoreFaces(root, config)
    return InputFaces(named_inputs(root, config.crops_template), config)


def is_store(path: Path) -> bool:
    """Whether a path is an HDF5 file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


class InputFaces:
    """Photos and crops by name, embedded by worker processes."""

    def __init__(self, inputs: Mapping[str, Input], config: Config) -> None:
        """Raises CosfaceError for a wrong model, flip, choice or detector, and crops that do not show enough."""
        one_of(config.faces, tuple(c for c in CHOICES if c != "all"), "--faces")
        self._embedding = Embedding(config)
        self._embedding.require_cover(list(inputs.values()))
        whose = self._embedding.identity
        self.model, self.model_id, self.flip = whose.name, whose.id, str(whose.flip)
        self._inputs, self._config = inputs, config
        self.names = tuple(inputs)
        self._stems = _stems(self.names)

    def find(self, name: str) -> str | None:
        return name if name in self._inputs else self._stems.get(name) or self._stems.get(stem(name))

    def embed(self, names: Sequence[str], emit: OnOutcome) -> Embedded:
        unused = sorted(self._config.changed() & FOR_PHOTOS)
        if unused and all(item.crop is not None for item in self._inputs.values()):
            emit(Note(f"these are crops already: {', '.join(map(flag_of, unused))} changes nothing"))
        emit(Planned(len(names)))
        inputs = [self._inputs[name] for name in names]
        rows: list[NDArray[np.float32] | None] = []
        scores: list[float] = []
        shown = []
        missing = []
        digest = hashlib.sha256()
        for name, item, result in zip(names, inputs, self._embedding.each(inputs), strict=True):
            digest.update(file_line(name, result.hash))
            if result.reason is not None or result.vectors is None:
                missing.append(name)
                rows.append(None)
                scores.append(0.0)
                shown.append(Shown(item.place, None))
                emit(Rejected(str(item.place), result.reason or "no_face", result.words))
            else:
                rows.append(result.vectors[0])
                box, score, _ = result.faces[0]
                scores.append(score)
                shown.append(Shown(item.place, box if item.crop is None else None))
                emit(Done(str(item.place)))
        size = next((row.size for row in rows if row is not None), 1)
        nothing = np.full(size, np.nan, np.float32)
        vectors = np.stack([nothing if row is None else row for row in rows]) if rows else np.zeros((0, 1), np.float32)
        return Embedded(vectors, np.array(scores), tuple(shown), tuple(missing), digest.hexdigest())


class StoreFaces:
    """The rows of a store by the names of their photos or crops; of several faces of one photo the first counts."""

    def __init__(self, path: Path, config: Config) -> None:
        """Raises as require_asked."""
        require_finished(path)
        with Store(path) as store:
            header = store.header
            firsts = [(number, row) for number, row in enumerate(store.rows()) if row.face == 1]
        self._rows = {row.source: number for number, row in firsts}
        require_asked(header, path, config)
        self.path = path
        self.model, self.model_id, self.flip = header.model, header.model_id, header.flip
        self.names = tuple(self._rows)
        self._stems = _stems(self.names)

    def find(self, name: str) -> str | None:
        return name if name in self._rows else self._stems.get(name) or self._stems.get(stem(name))

    def embed(self, names: Sequence[str], emit: OnOutcome) -> Embedded:
        emit(Planned(len(names)))
        wanted = np.array([self._rows[name] for name in names], np.int64)
        scores = np.zeros(len(names))
        hashes = [""] * len(names)
        shown: list[Shown | None] = [None] * len(names)
        place = np.argsort(wanted, kind="stable")
        with Store(self.path) as store:
            vectors = np.full((len(names), store.header.size), np.nan, np.float32)
            ordered = wanted[place]
            for low in range(0, len(store), 1024):
                first, last = np.searchsorted(ordered, (low, low + 1024))
                if first < last:
                    high = min(low + 1024, len(store))
                    block, rows = store.vectors(low, high), list(store.rows(low, high))
                    for number in place[first:last]:
                        row = rows[wanted[number] - low]
                        vectors[number], scores[number] = block[wanted[number] - low], row.score
                        hashes[number] = row.hash
                        shown[number] = Shown(File(Path(row.root) / row.source), row.box if row.size else None)
        wrong = ~are_unit(vectors)
        vectors[wrong] = np.nan
        for name, bad in zip(names, wrong, strict=True):
            if bad:
                emit(Rejected(name, "bad_embedding", f"{self.path}: the embedding of {name} is not of unit length"))
            else:
                emit(Done(name))
        lines = b"".join(file_line(name, digest) for name, digest in zip(names, hashes, strict=True))
        missing = tuple(name for name, bad in zip(names, wrong, strict=True) if bad)
        seen = tuple(one for one in shown if one is not None)
        return Embedded(vectors, scores, seen, missing, hashlib.sha256(lines).hexdigest())


def require_asked(have: StoreHeader, path: Path, config: Config) -> None:
    """Raises ModelMismatch where the caller names another model or flip than a store's, CosfaceError for an option that
    only photos and crops need."""
    if len(config.models) > 1:
        raise CosfaceError("a store is of one model", path, "give photos or crops, which several models can embed")
    if config.models and (model := open_embedder(config.models[0])).model_id != have.model_id:
        held = f"embeddings of {have.model} ({have.model_id}), not of {model.name} ({model.model_id})"
        raise ModelMismatch(held, path, "leave --model out, or embed again")
    if "flip" in config.changed() and config.flip != have.flip:
        raise ModelMismatch(f"written with --flip {have.flip}", path, "leave --flip out, or embed again")
    for option in sorted(config.changed() & {"fuse", "crops_template", *FOR_PHOTOS}):
        raise CosfaceError(f"{flag_of(option)} changes nothing about a store", path, "leave it out")


def _stems(names: Iterable[str]) -> dict[str, str]:
    """Full names by those without ending; the first of several."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(stem(name), name)
    return found


def file_line(name: str, digest: str) -> bytes:
    """What a hash of many files is made of: one's name and hash."""
    return f"{name} {digest}\n".encode("utf-8", "surrogateescape")
