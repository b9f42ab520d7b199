"""Where a model's calibration is stored: in the package, in the header of weights, or beside an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.artifacts.run.calibration import (
    Calibration,
    calibration_path,
    from_tables,
    read_calibrations,
    to_tables,
    write_calibrations,
)
from cosface_cli.artifacts.run.weights import read_header, read_trained, save_weights
from cosface_cli.engines.embedders import EMBEDDERS, Embedder
from cosface_cli.engines.embedders.packaged import packaged
from cosface_cli.errors import CosfaceError


def calibrations_of(spec: str, embedder: Embedder) -> dict[str, Calibration]:
    """By flip mode; empty where the model was not calibrated. Raises ModelMismatch for the tables of another model."""
    if spec in EMBEDDERS:
        return packaged(spec, embedder.model_id)
    place = place_of(spec)
    if Path(spec).suffix == ".onnx":
        model = ModelIdentity(name=embedder.name, id=embedder.model_id)
        return read_calibrations(place, model) if place.is_file() else {}
    header = read_header(place)
    return from_tables(header.calibration, embedder.name, header.model_id, place)


def place_of(spec: str) -> Path:
    """The file for a model's tables. Raises CosfaceError for a packaged model, whose tables come with it."""
    path = Path(spec)
    if spec in EMBEDDERS:
        raise CosfaceError(f"{spec} has a calibration of its own", hint="name a file for this one: --out FILE")
    if path.suffix == ".onnx":
        return calibration_path(path)
    return path / "weights.safetensors" if path.is_dir() else path


def keep(spec: str, calibrations: Mapping[str, Calibration]) -> Path:
    """Write a model's tables to their file, and return its path. Raises as place_of does."""
    place = place_of(spec)
    if Path(spec).suffix == ".onnx":
        write_calibrations(place, calibrations)
    else:
        _, header, tensors = read_trained(place)
        save_weights(place, tensors, replace(header, calibration=to_tables(calibrations)))
    return place
