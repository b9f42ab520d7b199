"""Weights: one .safetensors file whose header has everything that is needed to use them."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files.atomic import write_bytes
from cosface_cli.errors import CosfaceError, DamagedError

SCHEMA = 1
_KEY = "cosface"  # the key of the header in the safetensors metadata
_HEADER_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The header of a weights file."""

    backbone: str
    """Name of the network in BACKBONES."""
    embedding_size: int
    """Dimension D of an embedding."""
    template: str
    """Geometry of the crops that the network takes."""
    model_id: str
    """Hash of the tensors."""
    color_order: str = "RGB"
    """Order of the channels."""
    mean: tuple[float, ...] = (127.5, 127.5, 127.5)
    """Mean of each channel, in pixel values 0..255: the input of the network is (x - mean) / std."""
    std: tuple[float, ...] = (128.0, 128.0, 128.0)
    """Divisor of each channel, in pixel values 0..255."""
    flip: str = "none"
    """none, sum or concat."""
    loss: Mapping[str, Any] = field(default_factory=dict)
    """Name and settings of the loss."""
    identities: int = 0
    """Number of identities that it was trained on."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Fingerprint of the training data."""
    licence: str | None = None
    """Licence of the weights that training started from, an SPDX name if there is one; None from scratch."""
    lineage: tuple[str, ...] = ()
    """Model ids that led to these weights, oldest first."""
    threshold: float | None = None
    """Cosine from which two crops count as one person; None until it is fitted."""
    calibration: Mapping[str, Any] = field(default_factory=dict)
    """Calibration tables by flip mode (artifacts.run.calibration)."""
    schema: int = SCHEMA
    """Version of the format."""


def tensors_id(tensors: Mapping[str, NDArray[np.generic]]) -> str:
    """The model id: SHA-256 of names, types, shapes and values, but not of the header, which may change."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = np.asarray(tensors[name], order="C")
        digest.update(f"{name} {tensor.dtype.str} {tensor.shape}\n".encode())
        digest.update(tensor.data if tensor.size else b"")
    return digest.hexdigest()


def save_tensors(
    path: Path, tensors: Mapping[str, NDArray[np.generic]], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors by name to a .safetensors file, whole or not at all; the same tensors give the same bytes."""
    from safetensors.numpy import save

    ordered = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}
    write_bytes(path, save(ordered, metadata=dict(metadata) if metadata else None))


def save_weights(path: Path, tensors: Mapping[str, NDArray[np.generic]], header: Weights) -> None:
    """Write a network's tensors and its header to path."""
    save_tensors(path, tensors, {_KEY: json.dumps(asdict(header), sort_keys=True)})


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a .safetensors file, without reading its tensors. Raises CosfaceError naming the file."""
    try:
        with path.open("rb") as handle:
            (length,) = struct.unpack("<Q", handle.read(8))
            if length > _HEADER_LIMIT:
                raise ValueError("header too long")
            metadata = json.loads(handle.read(length)).get("__metadata__", {})
            return {str(key): str(value) for key, value in metadata.items()}
    except FileNotFoundError:
        raise CosfaceError("no such file", path, "give weights written by cosface train") from None
    except (OSError, ValueError, struct.error, AttributeError, RecursionError) as error:
        raise CosfaceError("not a .safetensors file", path, "give weights written by cosface train") from error


def read_header(path: Path) -> Weights:
    """The header of a weights file. Raises CosfaceError for another kind of file or a newer schema."""
    text = read_metadata(path).get(_KEY)
    if text is None:
        raise CosfaceError("these weights have no cosface header", path, "give weights written by cosface train")
    try:
        content = json.loads(text)
        if int(content["schema"]) > SCHEMA:
            raise CosfaceError("these weights were written by a newer cosface", path, "pip install -U cosface")
        names = {f.name for f in fields(Weights)}
        values = {key: value for key, value in content.items() if key in names}
        for key in ("mean", "std"):
            values[key] = tuple(map(float, values[key]))
        values["lineage"] = tuple(values.get("lineage") or ())
        header = Weights(**values)
        texts = (header.backbone, header.template, header.model_id, header.flip, header.color_order, *header.lineage)
        if (
            not isinstance(header.licence, str | None)
            or not isinstance(header.calibration, dict)
            or not all(isinstance(text, str) for text in texts)
            or header.embedding_size < 1
        ):
            raise ValueError("a field has a wrong type or value")
        if (len(header.mean), len(header.std)) != (3, 3) or not min(header.std) > 0:
            raise ValueError("mean and std must have three values, and std must be above 0")
        return header
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CosfaceError("the header of these weights is damaged", path, "train or copy them again") from error


def read_tensors(path: Path) -> dict[str, NDArray[np.generic]]:
    """The tensors of a .safetensors file by name. Raises CosfaceError for a damaged file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except FileNotFoundError:
        raise CosfaceError("no such file", path) from None
    except (SafetensorError, OSError, ValueError) as error:
        raise CosfaceError("this file is damaged", path, "make or copy it again") from error


def read_trained(path: Path) -> tuple[Path, Weights, dict[str, NDArray[np.generic]]]:
    """The file, header and tensors of a run folder or of its weights.safetensors.

    Raises CosfaceError for another kind of file, DamagedError if the tensors do not match the header's model id.
    """
    file = path / "weights.safetensors" if path.is_dir() else path
    if not file.is_file():
        raise CosfaceError("no weights here", file, "train first: cosface train ALIGNED --out " + str(path))
    header, tensors = read_header(file), read_tensors(file)
    if header.model_id != tensors_id(tensors):  # computed again: other files refer to the weights by it
        raise DamagedError("the tensors do not match the model id in the header", file, "train or copy them again")
    return file, header, tensors
