"""RetinaFace with MobileNetV1 x 0.25 (Deng 2020, "RetinaFace: Single-Shot Multi-Level Face Localisation ...") as an
ONNX graph, out of the parameters of the Pytorch_Retinaface project.

The backbone gives maps at strides 8, 16 and 32; a feature pyramid brings each to 64 channels and adds the coarser one;
an SSH block (Najibi 2017) widens what each place sees; 1x1 convolutions give two answers a place. Batch norms are
folded into the convolutions before them: w' = w g / sqrt(v + eps), b' = b - m g / sqrt(v + eps).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[np.float32]

EPSILON = 1e-5  # torch's, of the batch norms
MEAN_RGB = (123.0, 117.0, 104.0)
# strides of the depthwise blocks of the backbone's three stages; the first block of all is a plain convolution
STAGES = ((1, 2, 1, 2, 1), (2, 1, 1, 1, 1, 1), (2, 1))
OUTPUTS = {"score": (), "box": (4,), "points": (10,)}


def onnx_bytes(params: Mapping[str, Array], slope: float, notes: Mapping[str, str]) -> bytes:
    """The model: input x (N, H, W, 3) uint8 RGB; outputs for each of the P priors score (N, P), the face's probability,
    box (N, P, 4) and points (N, P, 10), the regressions that retinaface_boxes decodes.

    params: by the project's names, in torch's layout; slope: of the leaky ReLUs; notes: kept as the model's metadata.
    Raises KeyError for a name that is missing and onnx's errors where shapes do not fit.
    """
    b = _Builder(params, slope)
    (planes,) = b.add("Cast", ["x"], to=TensorProto.FLOAT)
    (planes,) = b.add("Transpose", [planes], perm=[0, 3, 1, 2])
    (planes,) = b.add("Sub", [planes, b.const(np.array(MEAN_RGB, np.float32)[:, None, None])])
    levels = _ssh(b, _pyramid(b, _backbone(b, planes)))
    for head, size, out in (("ClassHead", 2, "logits"), ("BboxHead", 4, "box"), ("LandmarkHead", 10, "points")):
        rows = [b.head(f"{head}.{i}.conv1x1", x, size) for i, x in enumerate(levels)]
        b.add("Concat", rows, names=[out], axis=1)
    # softmax over two classes is the sigmoid of their difference
    other, face = b.add("Split", ["logits", b.const(np.array([1, 1]))], 2, axis=2)
    (difference,) = b.add("Sub", [face, other])
    (difference,) = b.add("Squeeze", [difference, b.const(np.array([2]))])
    b.add("Sigmoid", [difference], names=["score"])
    return b.finish(notes)


def _backbone(b: _Builder, x: str) -> list[str]:
    levels = []
    for stage, strides in enumerate(STAGES, 1):
        first = 0
        if stage == 1:
            x = b.conv("body.stage1.0.0", "body.stage1.0.1", x, stride=2, leaky=True)
            first = 1
        for block, stride in enumerate(strides, first):
            name = f"body.stage{stage}.{block}"
            x = b.conv(f"{name}.0", f"{name}.1", x, stride=stride, leaky=True, depthwise=True)
            x = b.conv(f"{name}.3", f"{name}.4", x, leaky=True)
        levels.append(x)
    return levels


def _pyramid(b: _Builder, levels: Sequence[str]) -> list[str]:
    fine, middle, coarse = (
        b.conv(f"fpn.output{i}.0", f"fpn.output{i}.1", x, leaky=True) for i, x in enumerate(levels, 1)
    )
    middle = b.merged(middle, coarse, "fpn.merge2")
    return [b.merged(fine, middle, "fpn.merge1"), middle, coarse]


def _ssh(b: _Builder, levels: Sequence[str]) -> list[str]:
    found = []
    for i, x in enumerate(levels, 1):
        name = f"ssh{i}."
        three = b.conv(f"{name}conv3X3.0", f"{name}conv3X3.1", x)
        wide = b.conv(f"{name}conv5X5_1.0", f"{name}conv5X5_1.1", x, leaky=True)
        five = b.conv(f"{name}conv5X5_2.0", f"{name}conv5X5_2.1", wide)
        wide = b.conv(f"{name}conv7X7_2.0", f"{name}conv7X7_2.1", wide, leaky=True)
        seven = b.conv(f"{name}conv7x7_3.0", f"{name}conv7x7_3.1", wide)
        (joined,) = b.add("Concat", [three, five, seven], axis=1)
        found += b.add("Relu", [joined])
    return found


class _Builder:
    """Collects nodes and their constants; its methods take and give names of tensors."""

    def __init__(self, params: Mapping[str, Array], slope: float) -> None:
        self.params = params
        self.slope = slope
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(
        self, kind: str, inputs: Sequence[str], outputs: int = 1, names: list[str] | None = None, **attributes: Any
    ) -> list[str]:
        names = names or [f"t{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def const(self, value: NDArray[Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def conv(self, conv: str, norm: str, x: str, stride: int = 1, leaky: bool = False, depthwise: bool = False) -> str:
        """A convolution without bias, its batch norm folded in, padded so that stride 1 keeps the size."""
        weight = self.params[f"{conv}.weight"].astype(np.float64)
        gamma, beta, mean, variance = (
            self.params[f"{norm}.{part}"].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        if conv == "body.stage1.0.0":
            weight = weight[:, ::-1]  # the project feeds BGR
        factor = gamma / np.sqrt(variance + EPSILON)
        weight = (weight * factor[:, None, None, None]).astype(np.float32)
        bias = (beta - mean * factor).astype(np.float32)
        pad = weight.shape[2] // 2
        (out,) = self.add(
            "Conv",
            [x, self.const(weight), self.const(bias)],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=len(weight) if depthwise else 1,
        )
        return self.add("LeakyRelu", [out], alpha=self.slope)[0] if leaky else out

    def merged(self, fine: str, coarse: str, name: str) -> str:
        """The finer map with the coarser one, repeated to its size, added and smoothed."""
        (shape,) = self.add("Shape", [fine])
        grown = self.add(
            "Resize",
            [coarse, "", "", shape],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        (out,) = self.add("Add", [fine, *grown])
        return self.conv(f"{name}.0", f"{name}.1", out, leaky=True)

    def head(self, name: str, x: str, size: int) -> str:
        """(N, H', W', 2 answers of `size` numbers) in a row a prior: (N, H' W' 2, size)."""
        weight, bias = self.params[f"{name}.weight"], self.params[f"{name}.bias"]
        (out,) = self.add("Conv", [x, self.const(weight), self.const(bias)])
        (out,) = self.add("Transpose", [out], perm=[0, 2, 3, 1])
        return self.add("Reshape", [out, self.const(np.array([0, -1, size]))])[0]

    def finish(self, notes: Mapping[str, str]) -> bytes:
        made = helper.make_graph(
            self.nodes,
            "retinaface",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", "h", "w", 3])],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", "priors", *sizes])
                for name, sizes in OUTPUTS.items()
            ],
            self.constants,
        )
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, dict(notes))
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())
