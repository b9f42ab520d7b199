"""Reads dlib's recognition network from the bytes of its .dat file.

The format is dlib's (serialize.h, dnn/layers.h):

- An integer is a control byte, then the magnitude in little-endian order. The low four bits of the control byte are the
  number of bytes that follow, its highest bit is the sign.
- A float is two integers m and e, for m * 2^e.
- A tensor is a version, four sizes and its values as raw float32.

Layers are in order from the input to the output.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """A convolution. The affine layer that follows it in the file is included in its weight and bias."""

    weight: Array
    """(out, in, h, w)."""
    bias: Array
    """(out,)."""
    stride: int
    pad: int


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """The arrays of the network."""

    mean: Array
    """(3,): subtracted from the pixels' R, G and B; the difference is divided by 256."""
    convs: list[Conv]
    """In order from the input: the stem, then two for each residual block."""
    fc: Array
    """(out, in): the linear layer at the end."""


class _Reader:
    """Reads values of dlib's format one after the other. Each method raises ValueError for bytes that do not fit."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0

    def read_bytes(self, count: int) -> bytes:
        chunk = self.content[self.position : self.position + count]
        if len(chunk) != count:
            raise ValueError("the file ends too early")
        self.position += count
        return chunk

    def integer(self) -> int:
        control = self.read_bytes(1)[0]
        value = int.from_bytes(self.read_bytes(control & 0x0F), "little")
        return -value if control & 0x80 else value

    def integers(self, count: int) -> list[int]:
        return [self.integer() for _ in range(count)]

    def real(self) -> float:
        mantissa, exponent = self.integers(2)
        return math.ldexp(mantissa, exponent)

    def reals(self, count: int) -> list[float]:
        return [self.real() for _ in range(count)]

    def skip_bools(self, count: int) -> None:
        if self.read_bytes(count).strip(b"01"):
            raise ValueError("a flag is neither 0 nor 1")

    def string(self) -> str:
        return self.read_bytes(self.integer()).decode("ascii")

    def tensor(self) -> Array:
        if self.integer() != 2:
            raise ValueError("unknown tensor version")
        shape = self.integers(4)
        count = int(np.prod(shape))
        return np.frombuffer(self.read_bytes(4 * count), "<f4").reshape(shape).astype(np.float32)

    def skip_aliases(self, count: int) -> None:
        """An alias names a part of a tensor: a version and four sizes."""
        for _ in range(count):
            if self.integer() != 1:
                raise ValueError("unknown alias version")
            self.integers(4)


def parse(content: bytes) -> Network:
    """The network in the content of a .dat file. Raises CosfaceError for any other content."""
    reader = _Reader(content)
    try:
        network = _network(reader)
        if reader.position != len(content):
            raise ValueError("bytes follow the network")
    except (ValueError, IndexError, OverflowError, MemoryError) as error:
        raise CosfaceError(f"not dlib's recognition network ({error})") from error
    return network


def _network(reader: _Reader) -> Network:
    reader.integer()
    if reader.string() != "loss_metric_2":
        raise ValueError("the loss layer is another one")
    reader.reals(2)
    while reader.integer() != 3:  # one version for each nested layer, 3 for the innermost
        pass
    if reader.string() != "input_rgb_image_sized":
        raise ValueError("the input layer is another one")
    mean = np.array(reader.reals(3), np.float32)
    if reader.integers(2) != [150, 150]:
        raise ValueError("the input size is another one")
    convs: list[Conv] = []
    fc = None
    is_first_layer = True
    while fc is None:
        kind = reader.string()
        if kind == "con_4":
            convs.append(_conv(reader))
        elif kind == "affine_":
            convs[-1] = _with_affine(convs[-1], reader)
        elif kind in ("max_pool_2", "avg_pool_2"):
            reader.integers(6)
        elif kind == "fc_2":
            outputs, inputs = reader.integers(2)
            fc = reader.tensor().reshape(inputs, outputs).T.copy()
            reader.skip_aliases(2)
            reader.integer()
            reader.reals(4)
        elif kind not in ("relu_", "add_prev_"):
            raise ValueError(f"unknown layer {kind}")
        reader.skip_bools(3)
        for _ in range(3):
            reader.tensor()
        if is_first_layer:
            reader.integer()
        is_first_layer = False
    return Network(mean, convs, fc)


def _conv(reader: _Reader) -> Conv:
    params = reader.tensor().ravel()
    filters, rows, columns, stride, stride_x, pad, pad_x = reader.integers(7)
    if stride != stride_x or pad != pad_x:
        raise ValueError("stride or padding differ between rows and columns")
    reader.skip_aliases(2)
    reader.reals(4)
    weight = params[: params.size - filters].reshape(filters, -1, rows, columns)
    return Conv(weight, params[-filters:], stride, pad)


def _with_affine(conv: Conv, reader: _Reader) -> Conv:
    """The convolution followed by the affine layer gamma x + beta, as one convolution."""
    gamma, beta = reader.tensor().reshape(2, -1)
    reader.skip_aliases(2)
    reader.integer()
    return Conv(conv.weight * gamma[:, None, None, None], conv.bias * gamma + beta, conv.stride, conv.pad)
