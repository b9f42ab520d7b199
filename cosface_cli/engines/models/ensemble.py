"""Several models as one: their embeddings are joined to one vector, which is compared like that of a single model.

"mean": the unit vectors are concatenated and divided by the square root of their number; the cosine of two such vectors
is the mean of the models' cosines. "concat": the outputs of the networks are concatenated without normalising them, as
the paper does with its three patches (Wang 2018, section 4.4); a model with longer outputs has more weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.engines.embedders import Embedder
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.engines.embedders.vectors import identity_of
from cosface_cli.engines.photos.photo_embedder import PhotoEmbedder, PhotoEmbedderOpener, PhotoEmbeddings, PhotoOrCrop
from cosface_cli.engines.photos.photo_options import Fuse
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.registry import require_one_of

FUSES: tuple[Fuse, ...] = get_args(Fuse)


def fuse_of(name: str, models: int) -> Fuse:
    """How the models are joined. Raises CosfaceError for an unknown name, and for concat of a single model."""
    require_one_of(name, FUSES, "--fuse")
    if models < 2 and name != FUSES[0]:
        raise CosfaceError(
            f"--fuse {name} needs several models, got one", hint="add another --model, or leave --fuse out"
        )
    return "concat" if name == "concat" else "mean"


def joined_identity(models: Sequence[ModelIdentity], fuse: Fuse = "mean") -> ModelIdentity:
    """The identity of joined vectors. One model keeps its own; the order of several does not matter.

    Raises CosfaceError where a model stands twice.
    """
    if len(models) == 1:
        return models[0]
    names, ids = zip(*sorted((model.name, model.id) for model in models), strict=True)
    if len(set(ids)) < len(ids):
        raise CosfaceError(f"the same model twice: {', '.join(names)}", hint="name each model once")
    sizes = [model.size for model in models if model.size is not None]
    return ModelIdentity(
        name="+".join(names),
        id=f"{fuse}({'+'.join(ids)})",
        flip=models[0].flip,
        size=sum(sizes) if len(sizes) == len(models) else None,
    )


@dataclass(frozen=True, slots=True)
class EnsembleOpener:
    """How files become embeddings, of one model or of several joined."""

    opener: PhotoEmbedderOpener
    """Names the models."""
    fuse: Fuse = "mean"
    """How their vectors are joined."""

    def open(self) -> Callable[[list[PhotoOrCrop]], list[PhotoEmbeddings]]:
        return self.opened(
            [open_embedder(spec, self.opener.device, self.opener.precision) for spec in self.opener.models]
        )

    def opened(self, embedders: Sequence[Embedder]) -> Callable[[list[PhotoOrCrop]], list[PhotoEmbeddings]]:
        """The same with embedders that are open already."""
        photo_embedder = PhotoEmbedder(embedders, self.opener)
        nothing_known = (None,) * len(embedders)

        def embed(inputs: list[PhotoOrCrop]) -> list[PhotoEmbeddings]:
            unknown = [replace(item, known=nothing_known) for item in inputs]
            return [fused(results, self.fuse) for results in photo_embedder(unknown)]

        return embed

    def identity(self, embedders: Sequence[Embedder]) -> ModelIdentity:
        """The model, or the models, whose vectors are made."""
        models = [identity_of(embedder, self.opener.flip) for embedder in embedders]
        return joined_identity(models, self.fuse)


def fused(results: Sequence[PhotoEmbeddings], fuse: Fuse = "mean") -> PhotoEmbeddings:
    """The results of several models for one file, joined. Without vectors if one of the models has none."""
    for result in results:
        if result.reason is not None or result.vectors is None:
            return result
    first, *others = results
    if not others:
        return first
    parts = [_part(result, fuse) for result in results]
    joined = np.concatenate(parts, axis=1)
    lengths = np.linalg.norm(joined, axis=1)
    return replace(first, vectors=unit_length(joined.astype(np.float32)), lengths=lengths)


def _part(result: PhotoEmbeddings, fuse: Fuse) -> NDArray[np.float64]:
    assert result.vectors is not None
    vectors = result.vectors.astype(np.float64)
    if fuse == "mean":
        return vectors
    if result.lengths is None:
        problem = "a store holds unit vectors only, --fuse concat needs their original lengths"
        raise CosfaceError(problem, hint="use --fuse mean")
    return np.asarray(vectors * result.lengths[:, None])
