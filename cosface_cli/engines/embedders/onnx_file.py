"""Embedders that run an ONNX file on ONNX Runtime, with one thread per session and one session per process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.backbones.inputs import network_input
from cosface_cli.engines.embedders import CPU_BATCH, GPU_BATCH
from cosface_cli.engines.runtime.onnx_session import has_cuda, open_session
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.maths.geometry import TEMPLATES, template


class OnnxEmbedder:
    """A recognition network in an ONNX file. See the Embedder protocol.

    A graph takes either normalised float planes (N, 3, H, W) or uint8 pictures (N, H, W, 3), which it normalises
    itself. mean, std: per channel, in pixel values, for graphs that take planes. device: see open_session. Raises
    CosfaceError for a file that is not a recognition network.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        model_id: str,
        template: str,
        thresholds: Mapping[str, float] | None = None,
        mean: tuple[float, ...] = (127.5, 127.5, 127.5),
        std: tuple[float, ...] = (127.5, 127.5, 127.5),
        device: str = "cpu",
    ) -> None:
        self.name = name
        self.model_id = model_id
        self.template = template
        self.batch = GPU_BATCH if device.startswith("cuda") and has_cuda() else CPU_BATCH
        self.thresholds: Mapping[str, float] = dict(thresholds or {})
        self._mean, self._std = mean, std
        self._session = open_session(path, device=device)
        graph_input, graph_output = self._session.get_inputs()[0], self._session.get_outputs()[0]
        self._input = graph_input.name
        self._pictures = graph_input.type == "tensor(uint8)"
        self._one_by_one = graph_input.shape[0] == 1
        size = graph_output.shape[-1]
        if len(graph_input.shape) != 4 or len(graph_output.shape) != 2 or not isinstance(size, int):
            raise CosfaceError("not a recognition network, which maps each picture to one vector", path)
        self.size = size

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See Embedder.embed."""
        if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[-1] != 3:
            raise ValueError(f"crops must be RGB uint8 (N, H, W, 3), got {crops.dtype} {crops.shape}")
        batch = crops if self._pictures else network_input(crops, self._mean, self._std)  # (N, 3, H, W)
        if not len(batch):
            return np.zeros((0, self.size), np.float32)
        if self._one_by_one:
            return np.concatenate([self._run(batch[i : i + 1]) for i in range(len(batch))])
        return self._run(batch)

    def _run(self, batch: NDArray[np.generic]) -> NDArray[np.float32]:
        return np.asarray(self._session.run(None, {self._input: batch})[0], dtype=np.float32)


def open_onnx(path: Path, template_name: str | None = None, device: str = "cpu") -> OnnxEmbedder:
    """A recognition network in an ONNX file. Its input is RGB, normalised as the file's metadata says.

    Without metadata, the input is (x - 127.5) / 127.5, as for insightface's models. If the graph's first eight nodes
    contain a Sub and a Mul, the graph normalises its input itself, so the input is the pixels.

    template_name: template of the crops that it was trained on. The default is that of the metadata; without metadata,
    the only template with the graph's input size, such as `arcface` for 112x112. device: see open_session. Raises
    CosfaceError if no template, or more than one, has that size.
    """
    session = open_session(path)
    graph_input = session.get_inputs()[0]
    notes = session.get_modelmeta().custom_metadata_map
    height, width = graph_input.shape[2:4] if len(graph_input.shape) == 4 else (None, None)
    template_name = template_name or notes.get("cosface.template")
    if template_name is None:
        fitting = [t.name for t in TEMPLATES.values() if (t.height, t.width) == (height, width)]
        if len(fitting) != 1:
            raise CosfaceError(f"no template has the input size {width}x{height}", path, "name its --template")
        template_name = fitting[0]
    need = template(template_name)
    if isinstance(height, int) and (need.height, need.width) != (height, width):
        raise CosfaceError(
            f"the network takes {width}x{height} pixels, template {need.name!r} has {need.width}x{need.height}",
            path,
            "name another --template",
        )
    mean, std = _normalisation(path, notes)
    return OnnxEmbedder(
        path,
        name=path.stem,
        model_id=f"onnx-{file_sha256(path)[:16]}",
        template=template_name,
        mean=mean,
        std=std,
        device=device,
    )


def notes_of(template_name: str, mean: Sequence[float], std: Sequence[float]) -> dict[str, str]:
    """The metadata of a graph that takes crops of a template, normalised to (x - mean) / std per channel."""
    return {"cosface.template": template_name, "cosface.mean": json.dumps(mean), "cosface.std": json.dumps(std)}


def _normalisation(path: Path, notes: Mapping[str, str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if "cosface.mean" in notes:
        try:
            mean, std = (tuple(map(float, json.loads(notes[f"cosface.{name}"]))) for name in ("mean", "std"))
            if (len(mean), len(std)) != (3, 3) or not np.isfinite(mean + std).all() or not min(std) > 0:
                raise ValueError("mean and std are not three finite numbers each, or a std is not positive")
        except (LookupError, ValueError, TypeError) as error:
            raise DamagedError(f"its metadata is damaged ({error})", path, "export the network again") from error
        return mean, std
    import onnx

    kinds = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node[:8]}
    normalises_itself = "Sub" in kinds and "Mul" in kinds
    return ((0.0,) * 3, (1.0,) * 3) if normalises_itself else ((127.5,) * 3, (127.5,) * 3)
