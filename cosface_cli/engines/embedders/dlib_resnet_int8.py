"""The embedded default with the convolutions of its residual blocks in 8-bit integers: twice as fast on a CPU.

Activations are uint8, weights int8 with a scale for each output channel (Jacob 2018, arXiv 1712.05877, Eq. 1 and 5); the
stem, the additions and the linear layer stay float32. The ranges of the activations are measured beforehand, so that
nobody needs photos to calibrate with. Weights lie in -64..64: two products with 255 then fit 16 bits, and processors
that add pairs in 16 bits (x86 without VNNI) give the same sums as those that do not.
"""

from __future__ import annotations

import hashlib

import numpy as np

from cosface_cli.artifacts.model_cache import cached
from cosface_cli.engines.embedders.dlib_format import Conv
from cosface_cli.engines.embedders.dlib_resnet import SHA256, Graph, packaged_network, serialised, to_onnx
from cosface_cli.engines.embedders.onnx_file import OnnxEmbedder

CONVERTER = 1  # raise it whenever the graph changes
LARGEST_WEIGHT = 64

# For each block, the largest absolute value of its input, between its convolutions and behind them, over photos of 299
# CelebA people; tests/bench/int8_ranges.py measures them.
RANGES = (
    (11.8, 12.4, 15.1),
    (14.9, 10.1, 14.1),
    (22.7, 12.1, 17.9),
    (29.7, 12.1, 11.4),
    (18, 7.57, 9.39),
    (17.8, 6.39, 10.9),
    (22.4, 6.95, 8.42),
    (22.9, 8.01, 8.72),
    (11.5, 5.06, 6.08),
    (10.1, 5.83, 6.3),
    (10.9, 8.25, 19.8),
    (19.8, 5.81, 10.4),
    (17.3, 3.64, 3.07),
    (16.5, 11.1, 4.14),
)

# As the float32 network's, by tests/bench/threshold.py --model dlib-int8.
THRESHOLDS = {"none": 0.930, "sum": 0.933, "concat": 0.928}

_ID = hashlib.sha256(f"{SHA256} {RANGES} {LARGEST_WEIGHT} {CONVERTER}".encode()).hexdigest()[:16]
MODEL_ID = f"dlib-resnet29-int8-{_ID}"


def open_dlib_int8() -> OnnxEmbedder:
    """The embedder, its graph built into the model cache by the first call. Input crops are of template `dlib`."""
    path = cached(f"{MODEL_ID}.onnx", lambda: serialised(to_onnx(packaged_network(), Int8Graph(RANGES))))
    return OnnxEmbedder(path, name="dlib-int8", model_id=MODEL_ID, template="dlib", thresholds=THRESHOLDS)


def tensors_to_measure(blocks: int) -> list[str]:
    """The graph's tensors whose ranges are needed, three to a block, in the order of RANGES."""
    names = []
    for number in range(blocks):
        before = f"block{number - 1}_sum_relu" if number else "pooled"
        names += [before, f"block{number}_a_relu", f"block{number}_b"]
    return names


class Int8Graph(Graph):
    """A graph whose convolutions, but for the stem, stand between pairs of QuantizeLinear and DequantizeLinear, which
    ONNX Runtime makes one integer convolution each. ranges: as RANGES."""

    def __init__(self, ranges: tuple[tuple[float, float, float], ...]) -> None:
        super().__init__()
        flat = [largest for block in ranges for largest in block]
        self._largest = dict(zip(tensors_to_measure(len(ranges)), flat, strict=True))

    def conv(self, conv: Conv, top: str, name: str) -> str:
        """See Graph.conv."""
        if name == "stem":
            return super().conv(conv, top, name)
        rounded, step = self._rounded(top)
        flat = np.abs(conv.weight).reshape(len(conv.weight), -1)
        steps = (flat.max(axis=1) / LARGEST_WEIGHT).astype(np.float32)  # (out,)
        weight = np.rint(conv.weight / steps[:, None, None, None]).astype(np.int8)
        bias_steps = steps * step
        bias = np.rint(conv.bias / bias_steps).astype(np.int32)
        inputs = [rounded, self._integers(f"{name}_w", weight, steps), self._integers(f"{name}_b", bias, bias_steps)]
        out = self.add("Conv", inputs, name, strides=[conv.stride] * 2, pads=[conv.pad] * 4)
        return self._rounded(out)[0] if name in self._largest else out  # else its relu is what will be rounded

    def _rounded(self, top: str) -> tuple[str, np.float32]:
        """The tensor rounded to 256 steps, as floats again, and the step: 0 is exact, and in the middle for a tensor
        that is no relu's."""
        signed = top.endswith("_b")
        step = np.float32(self._largest[top] / (127 if signed else 255))
        zero = np.array(128 if signed else 0, np.uint8)
        scale = [self.constant(f"{top}_step", step), self.constant(f"{top}_zero", zero)]
        self.add("QuantizeLinear", [top, *scale], f"{top}_integers")
        return self.add("DequantizeLinear", [f"{top}_integers", *scale], f"{top}_rounded"), step

    def _integers(self, name: str, values: np.ndarray, steps: np.ndarray) -> str:
        """Constants as integers with a step for each of their first axis."""
        inputs = [self.constant(f"{name}_integers", values), self.constant(f"{name}_steps", steps)]
        return self.add("DequantizeLinear", inputs, name, axis=0)
