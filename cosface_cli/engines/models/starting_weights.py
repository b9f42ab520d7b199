"""Weights that a training starts from: the packaged default, or weights of an earlier run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.run.weights import read_trained
from cosface_cli.backbones.build_backbone import declaration, fits
from cosface_cli.engines.embedders.dlib_embedder import LICENCE, MODEL_ID
from cosface_cli.engines.embedders.dlib_tensors import BACKBONE, EMBEDDING_SIZE, dlib_tensors
from cosface_cli.errors import CosfaceError, DamagedError

DEFAULT = "default"


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """Weights to start from."""

    backbone: str
    """The network that they fit, as for backbones.build_backbone.load."""
    embedding_size: int
    tensors: Mapping[str, NDArray[np.generic]]
    """By parameter name."""
    licence: str | None
    """Of these weights, for the header of the weights trained from them; None where they name none."""
    lineage: tuple[str, ...]
    """Model ids of these weights and of those that they were trained from, the oldest first."""


def starting_weights(spec: str) -> Start:
    """What `default`, a run folder, or the path of its weights.safetensors stands for.

    Raises CosfaceError for another kind of file, for damage, and for weights of a network that this version does not
    have or whose input it normalises differently.
    """
    if spec in (DEFAULT, "dlib"):
        return Start(BACKBONE, EMBEDDING_SIZE, dlib_tensors(), LICENCE, (MODEL_ID,))
    path = Path(spec)
    if not path.exists():
        raise CosfaceError(
            f"no weights to begin with are called {spec!r}", hint="give default, a run folder or a .safetensors file"
        )
    file, header, tensors = read_trained(path)
    backbone = declaration(header.backbone)
    fed = (header.template, header.color_order, header.mean, header.std)
    feeds = (backbone.template, "RGB", backbone.mean, backbone.std)
    if fed != feeds:
        raise CosfaceError(
            f"these weights were fed otherwise than {header.backbone} is ({_words(*fed)}; {_words(*feeds)})",
            file,
            "begin with others",
        )
    if not fits(header.backbone, header.embedding_size, tensors):
        raise DamagedError(f"the tensors are not those of {header.backbone!r}", file, "train or copy them again")
    return Start(header.backbone, header.embedding_size, tensors, header.licence, (*header.lineage, header.model_id))


def _words(template: str, order: str, mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    return f"crops {template}, {order}, mean {mean}, std {std}"
