"""Faces from photos and crops, by one model or several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosface_cli.artifacts.crops import find_crops, is_crop_folder, open_crops
from cosface_cli.engines.calibrations import calibrations_of
from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.embedders import EMBEDDERS, FLIPS
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.ensemble import EnsembleOpener, fuse_of
from cosface_cli.engines.face_vectors import Input, Vectors, VectorsOpener
from cosface_cli.engines.reader import CHOICES, Limits
from cosface_cli.engines.runners.local import cpu_count, run, single_threaded
from cosface_cli.engines.sources import File
from cosface_cli.engines.sources.listing import list_photos
from cosface_cli.engines.warp import require_cover
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Note, Tell
from cosface_cli.registry import one_of
from cosface_cli.verify import DEFAULT, CompareConfig
from cosface_cli.verify.matching import Matcher
from cosface_cli.verify.warnings import Seen

if TYPE_CHECKING:  # h5py is only for who gives a store
    from cosface_cli.artifacts.store import StoreHeader

CHUNK = 8  # photos handed to a worker at a time


class Photos:
    """Embeds photos as a configuration says; like the rows of a store, where they are to be compared with such."""

    def __init__(self, config: CompareConfig, store: StoreHeader | None = None, path: Path | None = None) -> None:
        """store: the header of the store at path. Raises ModelMismatch where the models are not the store's."""
        one_of(config.flip, FLIPS, "--flip")
        one_of(config.faces, CHOICES, "--faces")
        models, flip = config.models or DEFAULT, config.flip
        if store is not None:
            models, flip = _like(config, store, path)
        fuse = fuse_of(config.fuse, len(models))
        self._choice: Any = config.faces
        self._workers = config.workers
        self._embedders = [open_embedder(spec) for spec in models]
        open_detector(config.detector, config.min_face)  # a wrong name fails before any work
        limits = Limits(config.min_face)
        how = VectorsOpener(models, flip, config.detector, self._choice, limits, looks=True)  # type: ignore[arg-type]
        self._opener = EnsembleOpener(how, fuse)
        self.identity = self._opener.identity(self._embedders)
        if store is not None and (self.identity.model_id, self._size()) != (store.model_id, store.size):
            problem = f"embeddings of {store.model} ({store.model_id}), not of {self.identity.name}"
            raise ModelMismatch(f"{problem} ({self.identity.model_id})", path, "name the store's model with --model")
        single = len(models) == 1
        calibrations = calibrations_of(models[0], self._embedders[0]) if single else {}
        thresholds = self._embedders[0].thresholds if single else {}
        self.matcher = Matcher(self.identity, config, calibrations, thresholds)

    def of(self, names: Sequence[str]) -> list[Seen]:
        """The faces of a few photos, embedded in this process."""
        inputs = self._named(names)
        single_threaded()
        embed = self._opener.opened(self._embedders)
        return [self._seen(*pair) for pair in zip(names, inputs, embed(inputs), strict=True)]

    def each(self, inputs: Sequence[tuple[str, Input]]) -> Iterator[Seen]:
        """The faces of many, in order, by as many processes as were asked for."""
        chunks = [inputs[i : i + CHUNK] for i in range(0, len(inputs), CHUNK)]
        tasks = ([item for _, item in chunk] for chunk in chunks)
        results = run(tasks, self._opener, self._workers or cpu_count(), len(chunks))
        for chunk, (_, found) in zip(chunks, results, strict=True):
            for (name, item), vectors in zip(chunk, found, strict=True):
                yield self._seen(name, item, vectors)

    def named(self, names: Sequence[str]) -> list[tuple[str, Input]]:
        """Photos or crops by their paths."""
        return list(zip(names, self._named(names), strict=True))

    def gallery(self, source: str, tell: Tell) -> list[tuple[str, Input]]:
        """The photos of a folder, archive or pattern, or the crops of a crop folder."""
        path = Path(source)
        if is_crop_folder(path):
            crops = open_crops(path)
            found = [(str(path / crop.name), Input(File(crop.path), crop)) for crop in crops]
        else:
            listing = list_photos(source)
            for note in listing.notes:
                tell(Note(note))
            found = [(item.given, Input(item.place)) for item in listing.items]
        self._require_cover([item for _, item in found])
        return found

    def _named(self, names: Sequence[str]) -> list[Input]:
        paths = [Path(name) for name in names]
        inputs = [Input(File(path), crop) for path, crop in zip(paths, find_crops(paths), strict=True)]
        self._require_cover(inputs)
        return inputs

    def _require_cover(self, inputs: Sequence[Input]) -> None:
        for have in {item.crop.template: item.crop.path for item in inputs if item.crop is not None}.items():
            for embedder in self._embedders:
                require_cover(have[0], template(embedder.template), have[1])

    def _seen(self, name: str, item: Input, vectors: Vectors) -> Seen:
        crop = item.crop
        record = crop.record if crop is not None else None
        shown = crop.template.name if crop is not None and record is not None else self._embedders[0].template
        return Seen(name, vectors, shown, self._choice, record.hash if record is not None else None)

    def _size(self) -> int:
        return sum(e.size for e in self._embedders) * (2 if self.identity.flip == "concat" else 1)


def _like(config: CompareConfig, store: StoreHeader, path: Path | None) -> tuple[tuple[str, ...], str]:
    """The models and the flip by which a store was embedded."""
    if config.flip not in ("none", store.flip):
        raise CosfaceError(f"written with --flip {store.flip}", path, "leave --flip out")
    if config.models:
        return config.models, store.flip
    if store.model not in EMBEDDERS:
        problem = f"it holds embeddings of {store.model!r} ({store.model_id})"
        raise CosfaceError(problem, path, "name its run folder or weights with --model")
    return (store.model,), store.flip
