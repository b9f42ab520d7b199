"""The built-in default with most of its convolutions in 8-bit integers: 1.8 times as fast on a CPU.

Activations are uint8; weights are int8 with a step for each output channel (Jacob 2018, arXiv 1712.05877, Eq. 1, 5).
The stem and the first two blocks stay float32, because rounding costs most accuracy and saves least time in them. The
additions and the linear layer stay float32, too. The ranges of the activations were measured in advance, so users need
no photos to calibrate them.

An x86 processor without VNNI adds two neighbouring products in 16 bits, so a sum above 32,767 is cut off. The steps are
chosen so that the sum of two neighbours is at most 255 * 128 = 32,640. So every processor gives the same integers.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.model_cache import cached
from cosface_cli.engines.embedders.dlib_embedder import SHA256, Graph, packaged_network, serialised, to_onnx
from cosface_cli.engines.embedders.dlib_format import Conv
from cosface_cli.engines.embedders.onnx_file import OnnxEmbedder
from cosface_cli.engines.embedders.packaged import thresholds

CONVERTER = 1  # raise it whenever the graph changes
FIRST = 2  # block whose convolutions are the first in integers

# For each block from FIRST on: the highest value of its input, the highest value between its convolutions, and the
# lowest and highest value after them. tests/bench/int8_ranges.py measured them on photos of 299 CelebA people.
RANGES = (
    (22.7, 12.1, -15, 17.9),
    (29.7, 12.1, -7.7, 11.4),
    (18, 7.57, -6.11, 9.39),
    (17.8, 6.39, -7.82, 10.9),
    (22.4, 6.95, -7.34, 8.42),
    (22.9, 8.01, -4.93, 8.72),
    (11.5, 5.06, -5.28, 6.08),
    (10.1, 5.83, -6.3, 6.24),
    (10.9, 8.25, -8.16, 19.8),
    (19.8, 5.81, -10.4, 5.33),
    (17.3, 3.64, -3.07, 2.66),
    (16.5, 11.1, -4.14, 2.97),
)

_ID = hashlib.sha256(f"{SHA256} {FIRST} {RANGES} {CONVERTER}".encode()).hexdigest()[:16]
MODEL_ID = f"dlib-resnet29-int8-{_ID}"


def open_dlib_int8() -> OnnxEmbedder:
    """The embedder, for crops of template `dlib`. The first call builds its graph in the model cache."""
    path = cached(f"{MODEL_ID}.onnx", lambda: serialised(to_onnx(packaged_network(), Int8Graph(RANGES))))
    known = thresholds("dlib-int8", MODEL_ID)
    return OnnxEmbedder(path, name="dlib-int8", model_id=MODEL_ID, template="dlib", thresholds=known)


def measured(block: int) -> tuple[str, str, str]:
    """The tensors whose ranges a block needs: its input, between its convolutions, after them."""
    return f"block{block - 1}_sum_relu", f"block{block}_a_relu", f"block{block}_b"


class Int8Graph(Graph):
    """Builds a graph with convolutions in integers from block FIRST on.

    The inputs and the output of such a convolution pass through QuantizeLinear and DequantizeLinear. ONNX Runtime
    replaces these nodes and the convolution by one convolution of integers. ranges: see RANGES.
    """

    def __init__(self, ranges: tuple[tuple[float, float, float, float], ...]) -> None:
        super().__init__()
        self._ranges: dict[str, tuple[float, float]] = {}
        for block, (before, between, low, high) in enumerate(ranges, FIRST):
            spans = ((0.0, before), (0.0, between), (low, high))
            self._ranges.update(zip(measured(block), spans, strict=True))

    def conv(self, conv: Conv, top: str, name: str) -> str:
        """See Graph.conv."""
        if top not in self._ranges:
            return super().conv(conv, top, name)
        rounded, step = self._rounded(top)
        weight_steps = steps(conv.weight)
        weight = np.rint(conv.weight / weight_steps[:, None, None, None]).astype(np.int8)
        bias_steps = weight_steps * step
        bias = np.rint(conv.bias.astype(np.float64) / bias_steps).astype(np.int32)
        w, b = self._integers(f"{name}_w", weight, weight_steps), self._integers(f"{name}_b", bias, bias_steps)
        out = self.add("Conv", [rounded, w, b], name, strides=[conv.stride] * 2, pads=[conv.pad] * 4)
        return self._rounded(out)[0] if name in self._ranges else out  # otherwise the output of its relu is rounded

    def _rounded(self, top: str) -> tuple[str, np.float32]:
        """The tensor rounded to 256 evenly spaced floats, of which zero is one, and the step between them."""
        low, high = self._ranges[top]
        step = np.float32((high - low) / 255)
        scale = [self.constant(f"{top}_step", step), self.constant(f"{top}_zero", np.uint8(np.rint(-low / step)))]
        self.add("QuantizeLinear", [top, *scale], f"{top}_integers")
        return self.add("DequantizeLinear", [f"{top}_integers", *scale], f"{top}_rounded"), step

    def _integers(self, name: str, values: NDArray[np.generic], value_steps: NDArray[np.float32]) -> str:
        """A constant tensor stored as integers, with one step for each index of its first axis."""
        inputs = [self.constant(f"{name}_integers", values), self.constant(f"{name}_steps", value_steps)]
        return self.add("DequantizeLinear", inputs, name, axis=0)


def steps(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """The step (out,) of each output channel of a weight (out, in, h, w); `in` must be even.

    A rounded weight is within -127..127. Two rounded weights of the same sign, in neighbouring input channels, add up
    to 128 at most.
    """
    channels_last = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1, 2)  # (out, pairs, 2)
    pairs = np.maximum(np.maximum(channels_last, 0).sum(axis=2), np.maximum(-channels_last, 0).sum(axis=2))
    most = np.maximum(np.abs(channels_last).max(axis=(1, 2)) / 127, pairs.max(axis=1) / 127.5)
    return np.asarray(most, np.float32)
