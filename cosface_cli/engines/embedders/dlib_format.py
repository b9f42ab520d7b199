"""dlib's serialised recognition network: from the bytes of its .dat file to named arrays.

The format is dlib's own (serialize.h, dnn/layers.h): an integer is a control byte with the count of the bytes that
follow and the sign, then the magnitude, least byte first; a float is two integers, mantissa and exponent of two; a
tensor is a version, four sizes and raw float32. Layers follow each other from the input side to the output side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """A convolution with the affine layer behind it folded in. weight: (out, in, h, w); bias: (out,)."""

    weight: Array
    bias: Array
    stride: int
    pad: int


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """mean: (3,) of R, G, B pixel values, subtracted before a division by 256; convs: from the input on, two to each
    residual block after the first; fc: (out, in)."""

    mean: Array
    convs: list[Conv] = field(default_factory=list)
    fc: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def raw(self, count: int) -> bytes:
        chunk = self.content[self.at : self.at + count]
        if len(chunk) != count:
            raise ValueError("ends too early")
        self.at += count
        return chunk

    def integer(self) -> int:
        control = self.raw(1)[0]
        value = int.from_bytes(self.raw(control & 0x0F), "little")
        return -value if control & 0x80 else value

    def integers(self, count: int) -> list[int]:
        return [self.integer() for _ in range(count)]

    def real(self) -> float:
        mantissa, exponent = self.integers(2)
        return math.ldexp(mantissa, exponent)

    def reals(self, count: int) -> list[float]:
        return [self.real() for _ in range(count)]

    def bools(self, count: int) -> None:
        if self.raw(count).strip(b"01"):
            raise ValueError("a flag is neither 0 nor 1")

    def string(self) -> str:
        return self.raw(self.integer()).decode("ascii")

    def tensor(self) -> Array:
        if self.integer() != 2:
            raise ValueError("unknown tensor version")
        shape = self.integers(4)
        count = int(np.prod(shape))
        return np.frombuffer(self.raw(4 * count), "<f4").reshape(shape).astype(np.float32)

    def aliases(self, count: int) -> None:
        for _ in range(count):
            if self.integer() != 1:
                raise ValueError("unknown alias version")
            self.integers(4)


def parse(content: bytes) -> Network:
    """The network in a .dat file. Raises CosfaceError where the bytes are not that network's."""
    reader = _Reader(content)
    try:
        network = _network(reader)
        if reader.at != len(content):
            raise ValueError("does not end with the network")
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        raise CosfaceError(f"not dlib's recognition network ({error})") from error
    return network


def _network(reader: _Reader) -> Network:
    reader.integer()
    if reader.string() != "loss_metric_2":
        raise ValueError("another loss layer")
    reader.reals(2)
    while reader.integer() != 3:  # one version for each nested layer, 3 for the innermost
        pass
    if reader.string() != "input_rgb_image_sized":
        raise ValueError("another input layer")
    mean = np.array(reader.reals(3), np.float32)
    if reader.integers(2) != [150, 150]:
        raise ValueError("another input size")
    convs: list[Conv] = []
    fc = None
    first = True
    while fc is None:
        kind = reader.string()
        if kind == "con_4":
            convs.append(_conv(reader))
        elif kind == "affine_":
            convs[-1] = _folded(convs[-1], reader)
        elif kind in ("max_pool_2", "avg_pool_2"):
            reader.integers(6)
        elif kind == "fc_2":
            outputs, inputs = reader.integers(2)
            fc = reader.tensor().reshape(inputs, outputs).T.copy()
            reader.aliases(2)
            reader.integer()
            reader.reals(4)
        elif kind not in ("relu_", "add_prev_"):
            raise ValueError(f"unknown layer {kind}")
        reader.bools(3)
        for _ in range(3):
            reader.tensor()
        if first:
            reader.integer()
        first = False
    return Network(mean, convs, fc)


def _conv(reader: _Reader) -> Conv:
    params = reader.tensor().ravel()
    filters, rows, columns, stride, stride_x, pad, pad_x = reader.integers(7)
    if stride != stride_x or pad != pad_x:
        raise ValueError("an uneven stride or pad")
    reader.aliases(2)
    reader.reals(4)
    weight = params[: params.size - filters].reshape(filters, -1, rows, columns)
    return Conv(weight, params[-filters:], stride, pad)


def _folded(conv: Conv, reader: _Reader) -> Conv:
    """The affine layer gamma x + beta, applied to the convolution's own output."""
    gamma, beta = reader.tensor().reshape(2, -1)
    reader.aliases(2)
    reader.integer()
    return Conv(conv.weight * gamma[:, None, None, None], conv.bias * gamma + beta, conv.stride, conv.pad)
