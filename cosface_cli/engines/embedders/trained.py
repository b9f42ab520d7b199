"""Embedding by weights of cosface train: all that is needed stands in their header.

On a CPU the network runs as an ONNX graph, made from the weights once and kept in the model cache under their id.
"""

from __future__ import annotations

from pathlib import Path

from cosface_cli.artifacts.model_cache import cached
from cosface_cli.artifacts.weights import Weights, read_header, read_tensors
from cosface_cli.engines.embedders.onnx_file import OnnxEmbedder
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template

CONVERTER = 1  # raise it whenever the graph of the same weights changes


def open_trained(path: Path) -> OnnxEmbedder:
    """The embedder of a run folder or of its weights.safetensors. Raises CosfaceError for another kind of file."""
    file = path / "weights.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise CosfaceError("no weights here", file, "train first: cosface train ALIGNED --out " + str(path))
    header = read_header(file)
    graph = cached(f"trained-{header.model_id[:32]}-{CONVERTER}.onnx", lambda: _convert(file, header))
    return OnnxEmbedder(
        graph,
        name=path.name if path.is_dir() else path.parent.name or path.stem,
        model_id=header.model_id,
        template=header.template,
        thresholds={} if header.threshold is None else {header.flip: header.threshold},
        mean=header.mean,
        std=header.std,
    )


def _convert(file: Path, header: Weights) -> bytes:
    from cosface_cli.backbones.export import to_onnx
    from cosface_cli.backbones.loading import load

    need = template(header.template)
    return to_onnx(load(header.backbone, header.embedding_size, read_tensors(file)), need.height, need.width)
