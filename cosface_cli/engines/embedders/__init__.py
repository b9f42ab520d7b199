"""Embedders: crops in, embeddings out. A new model that comes with pip is a file here and a row in EMBEDDERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cosface_cli.artifacts.model_identity import FLIPS as FLIPS
from cosface_cli.artifacts.model_identity import Flip as Flip
from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CPU_BATCH = 16  # limits memory; larger batches are not faster on a CPU
GPU_BATCH = 128


class Embedder(Protocol):
    """A recognition network, ready to run."""

    name: str
    """Its name in tables and messages."""
    model_id: str
    """Hash of the weights and of everything else that decides the embeddings."""
    template: str
    """The template of the crops it takes."""
    size: int
    """Numbers in an embedding."""
    batch: int
    """Crops per call with which it is fastest."""
    thresholds: Mapping[str, float]
    """By flip mode: the lowest cosine of two faces of the same person. Empty for a model without calibration."""

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's output (N, D), not normalised, for RGB crops (N, H, W, 3) of its template."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagedEmbedder:
    """A model whose weights come with pip. A row of EMBEDDERS points to one."""

    open: Callable[[], Embedder]
    """Opens it for a CPU, in float32."""
    open_on: Callable[[str, str], Embedder] | None = None
    """Opens it on a torch device in a precision, such as ("cuda:0", "fp16"); None for a model that needs a CPU."""


EMBEDDERS: Table[PackagedEmbedder] = Table(
    "model",
    Row(
        "dlib",
        "cosface_cli.engines.embedders.dlib_packaged:DLIB",
        "the built-in default: dlib's ResNet-29, 128-d, CC0",
    ),
    Row(
        "dlib-int8",
        "cosface_cli.engines.embedders.dlib_packaged:DLIB_INT8",
        "the same with 8-bit convolutions: twice as fast on a CPU; a different model, not to be mixed with dlib",
    ),
)
