"""MegaFace's feature files (Kemelmacher-Shlizerman 2016): one vector in each file, in the devkit's format for matrices.

Four little-endian int32: rows, columns, bytes of a row, type (5: float32, 6: float64), then the rows. A vector is a
matrix of one row or one column. A file is named after the photo and the algorithm: `Name/Name_1.png_algorithm.bin`.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosface_cli.artifacts.files.atomic import write_bytes
from cosface_cli.errors import CosfaceError

_HEAD = struct.Struct("<4i")
_TYPES = {5: "<f4", 6: "<f8"}
_SUFFIX = re.compile(r"^(?P<photo>.+\.(?:jpe?g|png|bmp|gif|webp|tiff?))_[^/]*\.bin$", re.IGNORECASE)
LARGEST = 1 << 20  # bytes read of a file: more than any vector needs
_HINT = "write the feature again"


def read_feature(path: Path) -> NDArray[np.float32]:
    """The vector (D,) of a file. Raises CosfaceError if the file is truncated, not a vector, zero or not finite."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST)
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
    if len(content) < _HEAD.size:
        raise CosfaceError("not a MegaFace feature: shorter than the header", path, _HINT)
    rows, columns, stride, kind = _HEAD.unpack_from(content)
    if kind not in _TYPES or rows < 1 or columns < 1 or min(rows, columns) != 1:
        raise CosfaceError(f"not a MegaFace feature: a matrix of {rows} x {columns}, type {kind}", path, _HINT)
    size = columns * np.dtype(_TYPES[kind]).itemsize
    if stride < size or len(content) != _HEAD.size + rows * stride:
        problem = f"damaged: the header declares {rows} rows of {stride} bytes, {len(content) - _HEAD.size} follow"
        raise CosfaceError(problem, path, _HINT)
    table = np.frombuffer(content, np.uint8, offset=_HEAD.size).reshape(rows, stride)[:, :size]
    vector = np.ascontiguousarray(table).view(_TYPES[kind]).ravel().astype(np.float32)
    if not np.isfinite(vector).all() or not vector.any():
        raise CosfaceError("this feature is not finite, or has length 0", path, _HINT)
    return vector


def write_feature(path: Path, vector: ArrayLike) -> None:
    """Write a vector (D,) as a matrix of one column, whole or not at all."""
    values = np.ascontiguousarray(vector, "<f4")
    write_bytes(path, _HEAD.pack(values.size, 1, 4, 5) + values.tobytes())


def find_features(root: Path) -> dict[str, Path]:
    """The feature files below a folder by the names of their photos, sorted by the bytes of the file names.

    Raises CosfaceError for a missing folder, a folder without features, and two files of one photo.
    """
    if not root.is_dir():
        raise CosfaceError("no such folder of features", root, "give a folder of MegaFace's .bin files")
    features: dict[str, Path] = {}
    for path in sorted(root.rglob("*.bin"), key=os.fsencode):
        name = photo_of(path.relative_to(root).as_posix())
        if name in features:
            raise CosfaceError(
                f"two features of {name}, the other is {features[name].name}", path, "keep those of one model"
            )
        features[name] = path
    if not features:
        raise CosfaceError("no .bin features here", root, "give a folder of MegaFace's .bin files")
    return features


def photo_of(name: str) -> str:
    """The name of the photo of a feature file: the file's name without the algorithm and .bin."""
    match = _SUFFIX.match(name)
    return match["photo"] if match else name.removesuffix(".bin")
