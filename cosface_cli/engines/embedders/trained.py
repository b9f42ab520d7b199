"""Embedding by weights of cosface train: all that is needed stands in their header.

On a CPU the network runs as an ONNX graph, made from the weights once and kept in the model cache under their id.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cosface_cli.artifacts.model_cache import cached
from cosface_cli.artifacts.weights import Weights, read_trained
from cosface_cli.engines.embedders.onnx_file import OnnxEmbedder
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.maths.geometry import template

CONVERTER = 1  # raise it whenever the graph of the same weights changes


def open_trained(path: Path) -> OnnxEmbedder:
    """The embedder of a run folder or of its weights.safetensors. Raises CosfaceError for another kind of file."""
    file, header, tensors = read_trained(path)
    if header.color_order != "RGB":
        raise CosfaceError(f"the network wants {header.color_order!r} pixels, crops are RGB", file, "convert its stem")
    name = f"trained-{header.model_id[:32]}-{header.template}-{CONVERTER}.onnx"
    graph = cached(name, lambda: _convert(tensors, header, file))
    return OnnxEmbedder(
        graph,
        name=path.name if path.is_dir() else path.parent.name or path.stem,
        model_id=header.model_id,
        template=header.template,
        thresholds={} if header.threshold is None else {header.flip: header.threshold},
        mean=header.mean,
        std=header.std,
    )


def _convert(tensors: Mapping[str, NDArray[Any]], header: Weights, file: Path) -> bytes:
    from cosface_cli.backbones.export import to_onnx
    from cosface_cli.backbones.loading import declaration, load

    need = template(header.template)
    if header.template != declaration(header.backbone).template:
        problem = f"{header.backbone} takes crops {declaration(header.backbone).template!r}, not {header.template!r}"
        raise DamagedError(problem, file, "train or copy the weights again")
    try:
        network = load(header.backbone, header.embedding_size, dict(tensors))
    except RuntimeError as error:  # torch's, for a size that no memory holds
        raise DamagedError("the header's sizes fit no network", file, "train or copy the weights again") from error
    return to_onnx(network, need.height, need.width)
