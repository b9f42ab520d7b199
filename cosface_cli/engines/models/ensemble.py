"""Several models as one: their embeddings joined to one vector, so that whoever compares vectors compares ensembles.

"mean": unit vectors side by side, divided by the root of their number; the cosine of two such vectors is the mean of
the models' cosines. "concat": the networks' own outputs side by side, as the paper joins its three patches (Wang 2018,
section 4.4): each weighs as much as its outputs are long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.engines.embedders import Embedder
from cosface_cli.engines.embedders.opening import open_embedder
from cosface_cli.engines.embedders.vectors import identity_of
from cosface_cli.engines.photos.face_vectors import FaceVectors, Input, Vectors, VectorsOpener
from cosface_cli.engines.photos.photo_options import Fuse
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.registry import one_of

FUSES: tuple[Fuse, ...] = get_args(Fuse)


def fuse_of(name: str, models: int) -> Fuse:
    """How so many models are joined. Raises CosfaceError for an unknown name, and where there is nothing to join."""
    one_of(name, FUSES, "--fuse")
    if models < 2 and name != FUSES[0]:
        raise CosfaceError(
            f"--fuse {name} joins several models, there is one", hint="name another --model, or leave it out"
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
    """How files become vectors of one model or several. how: names the models; fuse: how their vectors are joined."""

    how: VectorsOpener
    fuse: Fuse = "mean"

    def open(self) -> Callable[[list[Input]], list[Vectors]]:
        return self.opened([open_embedder(spec, self.how.device, self.how.precision) for spec in self.how.models])

    def opened(self, embedders: Sequence[Embedder]) -> Callable[[list[Input]], list[Vectors]]:
        """The same, by embedders that are open already."""
        faces = FaceVectors(embedders, self.how)
        nothing_done = (None,) * len(embedders)

        def embed(inputs: list[Input]) -> list[Vectors]:
            return [fused(results, self.fuse) for results in faces([replace(i, known=nothing_done) for i in inputs])]

        return embed

    def identity(self, embedders: Sequence[Embedder]) -> ModelIdentity:
        """The model, or the models, whose vectors are made."""
        models = [identity_of(embedder, self.how.flip) for embedder in embedders]
        return joined_identity(models, self.fuse)


def fused(results: Sequence[Vectors], fuse: Fuse = "mean") -> Vectors:
    """What several models made of one file, as one; without vectors where one of them made nothing of it."""
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


def _part(result: Vectors, fuse: Fuse) -> NDArray[np.float64]:
    assert result.vectors is not None
    own = result.vectors.astype(np.float64)
    if fuse == "mean":
        return own
    if result.lengths is None:  # of a store, which keeps directions only
        raise CosfaceError("a store does not say how long its vectors were", hint="join stores with --fuse mean")
    return np.asarray(own * result.lengths[:, None])
