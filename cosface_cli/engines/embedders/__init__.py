"""Embedders: crops in, unit vectors out. A new embedded model is a file here and a row in EMBEDDERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from cosface_cli.artifacts.model_identity import FLIPS as FLIPS
from cosface_cli.artifacts.model_identity import Flip as Flip
from cosface_cli.registry import Row, Table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CPU_BATCH = 16  # bounds memory; on a CPU larger batches gain nothing
GPU_BATCH = 128


class Embedder(Protocol):
    """name: for people; model_id: hash of the weights; template: whose crops it takes; size: of its output; batch:
    crops that it takes best at a time.

    thresholds: by flip mode, the cosine from which two faces count as one person, where one was fitted.
    """

    name: str
    model_id: str
    template: str
    size: int
    batch: int
    thresholds: Mapping[str, float]

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's own output (N, D), not normalised, for RGB crops (N, H, W, 3) of its template."""
        ...


EMBEDDERS: Table[Callable[[], Embedder]] = Table(
    "model",
    Row(
        "dlib",
        "cosface_cli.engines.embedders.dlib_resnet:open_dlib",
        "the embedded default: dlib's ResNet-29, 128-d, CC0",
    ),
    Row(
        "dlib-int8",
        "cosface_cli.engines.embedders.dlib_resnet_int8:open_dlib_int8",
        "the same with 8-bit convolutions: twice as fast on a CPU; a model of its own, not to be mixed with dlib",
    ),
)
