"""MTCNN's networks as ONNX graphs, in a form that is fast on ONNX Runtime.

ONNX Runtime's PReLU is slow, and it interrupts the blocked memory layout of the convolutions: it takes half of the time
of P-Net. Two identities avoid it. With slope a, prelu(x) = a x + (1 - a) relu(x). If a max pool follows, with
P = pool(x):

    a >= 0:  pool(prelu(x)) = prelu(P)
    a <  0:  prelu(x) = max(x, a x), so pool(prelu(x)) = max(P, pool(a x)); the convolution before also computes a x

So the activation is applied to a quarter of the values. The outputs differ from those of the plain graph by about 1e-6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

Array = NDArray[np.float32]


class _Builder:
    """Collects nodes and constants. x: name of the tensor that the next layer reads."""

    def __init__(self, params: Mapping[str, Array]) -> None:
        self.params = params
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self.x = "x"
        self.order: NDArray[np.int64] | None = None  # of the channels of x, if it differs from the network's

    def add(self, kind: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> list[str]:
        names = [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def const(self, value: NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def layer(self, name: str) -> tuple[Array, Array]:
        """Weight and bias. The weight's input channels are in the order of x's channels."""
        weight, bias = self.params[f"{name}.weight"], self.params[f"{name}.bias"]
        return weight if self.order is None else weight[:, self.order], bias

    def conv_prelu_pool(self, conv: str, prelu: str, kernel: int) -> None:
        (weight, bias), slope = self.layer(conv), self.params[f"{prelu}.weight"]
        up, down = np.flatnonzero(slope >= 0), np.flatnonzero(slope < 0)
        weight = np.concatenate([weight[up], weight[down], weight[down] * slope[down, None, None, None]])
        bias = np.concatenate([bias[up], bias[down], bias[down] * slope[down]])
        (self.x,) = self.add("Conv", [self.x, self.const(weight), self.const(bias)])
        self.pool(kernel)
        sizes = self.const(np.array([len(up), len(down), len(down)]))
        rising, falling, scaled = self.add("Split", [self.x, sizes], 3, axis=1)
        (rising,) = self.add("PRelu", [rising, self.const(slope[up, None, None])])
        (falling,) = self.add("Max", [falling, scaled])
        (self.x,) = self.add("Concat", [rising, falling], axis=1)
        self.order = np.concatenate([up, down])

    def conv_prelu(self, conv: str, prelu: str) -> None:
        weight, bias = self.layer(conv)
        (out,) = self.add("Conv", [self.x, self.const(weight), self.const(bias)])
        slope = self.params[f"{prelu}.weight"][:, None, None]
        (below,) = self.add("Mul", [out, self.const(slope)])
        (above,) = self.add("Relu", [out])
        (above,) = self.add("Mul", [above, self.const(1 - slope)])
        (self.x,) = self.add("Add", [below, above])
        self.order = None

    def pool(self, kernel: int) -> None:
        (self.x,) = self.add("MaxPool", [self.x], kernel_shape=[kernel] * 2, strides=[2, 2], ceil_mode=1)

    def dense(self, name: str, x: str) -> str:
        weight, bias = self.params[f"{name}.weight"], self.params[f"{name}.bias"]
        return self.add("Gemm", [x, self.const(weight), self.const(bias)], transB=1)[0]

    def dense_prelu(self, dense: str, prelu: str, side: int) -> None:
        """The first dense layer. It reads maps (C, side, side), which the networks flatten in the order (W, H, C)."""
        weight, bias = self.params[f"{dense}.weight"], self.params[f"{dense}.bias"]
        weight = weight.reshape(len(weight), side, side, -1).transpose(0, 3, 2, 1).reshape(len(weight), -1)
        (flat,) = self.add("Flatten", [self.x])
        (out,) = self.add("Gemm", [flat, self.const(weight), self.const(bias)], transB=1)
        (self.x,) = self.add("PRelu", [out, self.const(self.params[f"{prelu}.weight"])])

    def probability(self, logits: str) -> str:
        """The probability of a face. A softmax over two classes is the sigmoid of their difference."""
        sizes = self.const(np.array([1, 1]))
        other, face = self.add("Split", [logits, sizes], 2, axis=1)
        (difference,) = self.add("Sub", [face, other])
        return self.add("Sigmoid", [difference])[0]

    def finish(self, name: str, maps: Sequence[str] = (), **outputs: str) -> bytes:
        """The model's bytes. outputs: public name and tensor of each output, of shape (n, channels, *maps)."""
        channels = {"prob": 1, "box": 4, "points": 10}
        for public, tensor in outputs.items():
            self.nodes.append(helper.make_node("Identity", [tensor], [public]))
        made = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
            [
                helper.make_tensor_value_info(public, TensorProto.FLOAT, ["n", channels[public], *maps])
                for public in outputs
            ],
            self.constants,
        )
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def onnx_bytes(net: str, params: Mapping[str, Array]) -> bytes:
    """The graph of "pnet", "rnet" or "onet" with these parameters, named and laid out as in facenet-pytorch."""
    return {"pnet": _pnet, "rnet": _rnet, "onet": _onet}[net](_Builder(params))


def _pnet(b: _Builder) -> bytes:
    b.conv_prelu_pool("conv1", "prelu1", kernel=2)
    b.conv_prelu("conv2", "prelu2")
    b.conv_prelu("conv3", "prelu3")
    weights, biases = zip(b.layer("conv4_1"), b.layer("conv4_2"), strict=True)
    (heads,) = b.add("Conv", [b.x, b.const(np.concatenate(weights)), b.const(np.concatenate(biases))])
    logits, box = b.add("Split", [heads, b.const(np.array([2, 4]))], 2, axis=1)
    return b.finish("pnet", ("rows", "columns"), prob=b.probability(logits), box=box)


def _rnet(b: _Builder) -> bytes:
    b.conv_prelu_pool("conv1", "prelu1", kernel=3)
    b.conv_prelu("conv2", "prelu2")
    b.pool(kernel=3)
    b.conv_prelu("conv3", "prelu3")
    b.dense_prelu("dense4", "prelu4", side=3)
    return b.finish("rnet", prob=b.probability(b.dense("dense5_1", b.x)), box=b.dense("dense5_2", b.x))


def _onet(b: _Builder) -> bytes:
    b.conv_prelu("conv1", "prelu1")
    b.pool(kernel=3)
    b.conv_prelu("conv2", "prelu2")
    b.pool(kernel=3)
    b.conv_prelu("conv3", "prelu3")
    b.pool(kernel=2)
    b.conv_prelu("conv4", "prelu4")
    b.dense_prelu("dense5", "prelu5", side=3)
    return b.finish(
        "onet",
        prob=b.probability(b.dense("dense6_1", b.x)),
        box=b.dense("dense6_2", b.x),
        points=b.dense("dense6_3", b.x),
    )
