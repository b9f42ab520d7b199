"""Files to embeddings: by one model or several, in this process or in worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.engines.models.ensemble import EnsembleOpener, fuse_of
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.photo_embedder import PhotoEmbedderOpener, PhotoEmbeddings, PhotoOrCrop
from cosface_cli.engines.photos.warp import require_cover
from cosface_cli.engines.runners.local import run
from cosface_cli.engines.runtime.cpu import cpu_count, single_threaded
from cosface_cli.maths.geometry import template
from cosface_cli.verify.faces import DEFAULT_MODELS, EmbeddingConfig

CHUNK = 8  # photos per task of a worker


class Embedding:
    """Embeds files by the models of a config."""

    def __init__(self, config: EmbeddingConfig, thumbnails: bool = False) -> None:
        """thumbnails: whether to make thumbnails of the faces, by which copies are recognised.

        Raises CosfaceError for an unknown model, detector or fusion, before any file is read.
        """
        models = config.models or DEFAULT_MODELS
        fuse = fuse_of(config.fuse, len(models))
        self.embedders = [open_embedder(spec) for spec in models]
        open_detector(config.detector, config.min_face)
        opener = PhotoEmbedderOpener(
            models=models,
            flip=config.flip,
            detector=config.detector,
            faces=config.faces,
            limits=Limits(min_face=config.min_face),
            thumbnails=thumbnails,
        )
        self._opener = EnsembleOpener(opener, fuse)
        self.model = self._opener.identity(self.embedders)
        self._workers = config.workers

    def require_cover(self, inputs: Sequence[PhotoOrCrop]) -> None:
        """Raises CosfaceError for crops that do not show all that a model needs."""
        paths = {item.crop.template: item.crop.path for item in inputs if item.crop is not None}
        for crop_template, path in paths.items():
            for embedder in self.embedders:
                require_cover(crop_template, template(embedder.template), path)

    def in_this_process(self, inputs: Sequence[PhotoOrCrop]) -> list[PhotoEmbeddings]:
        """The embeddings of a few files."""
        single_threaded()
        return self._opener.opened(self.embedders)(list(inputs))

    def in_workers(self, inputs: Sequence[PhotoOrCrop]) -> Iterator[PhotoEmbeddings]:
        """The embeddings of many files, in order."""
        chunks = [list(inputs[start : start + CHUNK]) for start in range(0, len(inputs), CHUNK)]
        for _, results in run(chunks, self._opener, self._workers or cpu_count(), len(chunks)):
            yield from results
