"""From crops to unit vectors: the flipped crop of the paper, the normalisation, and a check for unusable vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.model_identity import ModelIdentity, Precision
from cosface_cli.engines.embedders import Embedder, Flip
from cosface_cli.errors import PhotoError
from cosface_cli.maths.unit_vectors import unit_length


def identity_of(embedder: Embedder, flip: Flip, precision: Precision | None = None) -> ModelIdentity:
    """The identity of the embeddings that an embedder makes."""
    return ModelIdentity(
        name=embedder.name,
        id=embedder.model_id,
        flip=flip,
        template=embedder.template,
        size=embedder.size * (2 if flip == "concat" else 1),
        precision=precision,
    )


def unit_embeddings(embedder: Embedder, crops: NDArray[np.uint8], flip: Flip = "none") -> NDArray[np.float32]:
    """The function `embeddings`, with rows of unit length.

    A row whose length is zero or not finite is returned unchanged: see require_finite.
    """
    return unit_length(embeddings(embedder, crops, flip))


def embeddings(embedder: Embedder, crops: NDArray[np.uint8], flip: Flip = "none") -> NDArray[np.float32]:
    """The network's outputs (N, D), not normalised, for RGB crops (N, H, W, 3). flip="concat" doubles D.

    flip: "none"; "sum" adds the output for the mirrored crop; "concat" appends it (Wang 2018, section 4.1).
    """
    rows = []
    for start in range(0, len(crops), embedder.batch):
        batch = crops[start : start + embedder.batch]
        out = embedder.embed(batch)
        if flip != "none":
            mirrored = embedder.embed(np.ascontiguousarray(batch[:, :, ::-1]))
            out = out + mirrored if flip == "sum" else np.concatenate([out, mirrored], axis=1)
        rows.append(out)
    if not rows:
        return np.zeros((0, embedder.size * (2 if flip == "concat" else 1)), np.float32)
    return np.concatenate(rows)


def require_finite(vector: NDArray[np.float32], path: str) -> None:
    """Raises PhotoError for an embedding (D,) that has no direction: not finite, or of zero length."""
    if not np.isfinite(vector).all() or not vector.any():
        raise PhotoError("bad_embedding", "the network gave no usable vector for this face", path, "check the weights")
