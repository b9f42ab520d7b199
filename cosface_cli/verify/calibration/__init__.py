"""verify.calibration: thresholds and false accept rates of a model, from all pairs of people it was not trained on.

from cosface_cli.verify.calibration.stage import calibrate
report = calibrate(CalibrateConfig(source=Path("people"), models=("runs/mine",)))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cosface_cli.engines.photos.photo_options import CropsTemplateOption
from cosface_cli.options import argument, option
from cosface_cli.verify.faces import EmbeddingConfig, OneFaceOption


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateConfig(EmbeddingConfig):
    """Photos of people who are in no training set or test set of the model, and the file for its table."""

    source: Annotated[
        Path, argument("PEOPLE", "Store, crops or photos of people new to the model, one folder per person.")
    ]
    crops_template: CropsTemplateOption = None
    faces: OneFaceOption = "largest"
    out: Annotated[
        Path | None, option("File for the table.", unset="the header of the weights, or a file beside an .onnx file")
    ] = None
    leave_out: Annotated[tuple[str, ...], option("Person of PEOPLE to leave out. Repeat it for several people.")] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateReport:
    """A calibration and where it was written."""

    written: str
    """Path of the file that holds the table."""
    model: str
    model_id: str
    """Hash of the weights."""
    flip: str
    people: int
    faces: int
    """Faces with an embedding."""
    genuine: int
    """Pairs of one person."""
    impostors: int
    """Pairs of two people."""
    rates: tuple[Mapping[str, object], ...]
    """For each FAR a maths.rates.Rate, with 95 % intervals that take into account that pairs share people."""
    data: str
    """Hash of the faces."""
