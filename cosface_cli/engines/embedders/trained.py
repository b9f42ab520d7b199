"""Embedding with weights of `cosface train`, whose header says how to use them.

On a CPU the network runs as an ONNX graph. It is made from the weights once and stored in the model cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.model_cache import cached
from cosface_cli.artifacts.run.weights import Weights, read_trained
from cosface_cli.engines.embedders.onnx_file import OnnxEmbedder
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.maths.geometry import template

if TYPE_CHECKING:
    from torch import nn

CONVERTER = 1  # raise it whenever the graph for the same weights changes


def open_trained(path: Path) -> OnnxEmbedder:
    """The embedder of a run folder or of its weights.safetensors. Raises CosfaceError for another kind of file."""
    file, header, tensors = read_trained(path)
    _require_rgb(header, file)
    name = f"trained-{header.model_id[:32]}-{header.template}-{CONVERTER}.onnx"
    graph = cached(name, lambda: _convert(tensors, header, file))
    return OnnxEmbedder(
        graph,
        name=shown_name(path),
        model_id=header.model_id,
        template=header.template,
        thresholds=thresholds_of(header),
        mean=header.mean,
        std=header.std,
    )


def shown_name(path: Path) -> str:
    """The name of weights in messages: that of their run folder, or of the file if it has no folder."""
    path = path.resolve()
    return path.name if path.is_dir() else path.parent.name or path.stem


def thresholds_of(header: Weights) -> dict[str, float]:
    """By flip mode, see Embedder."""
    return {} if header.threshold is None else {header.flip: header.threshold}


def network_of(tensors: Mapping[str, NDArray[np.generic]], header: Weights, file: Path) -> nn.Module:
    """The network as a torch module.

    Raises CosfaceError if its input is not RGB, and DamagedError if the header does not match the tensors.
    """
    from cosface_cli.backbones.build_backbone import declaration, load

    _require_rgb(header, file)
    if header.template != declaration(header.backbone).template:
        problem = f"{header.backbone} takes crops {declaration(header.backbone).template!r}, not {header.template!r}"
        raise DamagedError(problem, file, "train or copy the weights again")
    try:
        return load(header.backbone, header.embedding_size, dict(tensors))
    except RuntimeError as error:  # of torch, for a size that exceeds the memory
        raise DamagedError(
            "no network has the sizes that the header gives", file, "train or copy the weights again"
        ) from error


def _require_rgb(header: Weights, file: Path) -> None:
    if header.color_order != "RGB":
        raise CosfaceError(f"the network takes {header.color_order!r} pixels, crops are RGB", file, "convert its stem")


def _convert(tensors: Mapping[str, NDArray[np.generic]], header: Weights, file: Path) -> bytes:
    from cosface_cli.backbones.export import to_onnx

    need = template(header.template)
    return to_onnx(network_of(tensors, header, file), need.height, need.width)
