"""Files to vectors, as a configuration says: by one model or several, in this process or in many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cosface_cli.engines.detectors.opening import open_detector
from cosface_cli.engines.embedders import FLIPS
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.models.ensemble import EnsembleOpener, fuse_of
from cosface_cli.engines.photos.face_vectors import Input, Vectors, VectorsOpener
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.reader import CHOICES
from cosface_cli.engines.photos.warp import require_cover
from cosface_cli.engines.runners.local import run
from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.maths.geometry import template
from cosface_cli.registry import one_of
from cosface_cli.verify import DEFAULT, CompareConfig, ProtocolConfig
from cosface_cli.verify.calibration import CalibrateConfig

CHUNK = 8  # photos handed to a worker at a time
Config = CompareConfig | ProtocolConfig | CalibrateConfig


class Embedding:
    """embedders: the models; identity: whose vectors they give, together."""

    def __init__(self, config: Config, thumbnails: bool = False) -> None:
        """thumbnails: as for VectorsOpener. Raises CosfaceError for a wrong model, flip, choice, fuse or detector."""
        one_of(config.flip, FLIPS, "--flip")
        one_of(config.faces, CHOICES, "--faces")
        models = config.models or DEFAULT
        fuse = fuse_of(config.fuse, len(models))
        self.embedders = [open_embedder(spec) for spec in models]
        open_detector(config.detector, config.min_face)  # a wrong name fails before any work
        flip: Any = config.flip
        choice: Any = config.faces
        how = VectorsOpener(
            models, flip, config.detector, choice, Limits(min_face=config.min_face), thumbnails=thumbnails
        )
        self._opener = EnsembleOpener(how, fuse)
        self.identity = self._opener.identity(self.embedders)
        self._workers = config.workers

    @property
    def size(self) -> int:
        """Of the vectors."""
        return sum(embedder.size for embedder in self.embedders) * (2 if self.identity.flip == "concat" else 1)

    def require_cover(self, inputs: Sequence[Input]) -> None:
        """Raises CosfaceError for crops that do not show what a model needs."""
        for have in {item.crop.template: item.crop.path for item in inputs if item.crop is not None}.items():
            for embedder in self.embedders:
                require_cover(have[0], template(embedder.template), have[1])

    def here(self, inputs: Sequence[Input]) -> list[Vectors]:
        """Of a few files, in this process."""
        single_threaded()
        return self._opener.opened(self.embedders)(list(inputs))

    def each(self, inputs: Sequence[Input]) -> Iterator[Vectors]:
        """Of many, in order, by as many processes as were asked for."""
        chunks = [list(inputs[i : i + CHUNK]) for i in range(0, len(inputs), CHUNK)]
        for _, found in run(chunks, self._opener, self._workers or cpu_count(), len(chunks)):
            yield from found
