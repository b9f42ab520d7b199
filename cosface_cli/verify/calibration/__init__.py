"""verify.calibration: what a model's scores mean, from all pairs of people whom it has not seen.

from cosface_cli.verify.calibration.stage import calibrate
report = calibrate(CalibrateConfig(source=Path("people"), models=("runs/mine",)))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosface_cli.verify import changed_fields


@dataclass(frozen=True, slots=True)
class CalibrateConfig:
    """source: a store, crops or photos of people whom the model was not trained on, nor will be tested on, by folder;
    models, fuse: as for ProtocolConfig; out: a file for the table, None: where the model's own is kept; leave_out:
    people who do not count; the rest as for embed."""

    source: Path
    models: tuple[str, ...] = ()
    fuse: str = "mean"
    flip: str = "none"
    out: Path | None = None
    leave_out: tuple[str, ...] = ()
    crops_template: str | None = None
    detector: str = "mtcnn"
    faces: str = "largest"
    min_face: float = 20.0
    workers: int = 0

    def changed(self) -> frozenset[str]:
        """The fields that are not as they are by default."""
        return changed_fields(self)


@dataclass(frozen=True, slots=True)
class CalibrateReport:
    """written: where; faces: with an embedding; rates: for each FAR a mapping as maths.rates.Rate, with 95 % intervals
    that people drawn anew widen; data: fingerprint of the faces."""

    written: str
    model: str
    model_id: str
    flip: str
    people: int
    faces: int
    genuine: int
    impostors: int
    rates: tuple[Mapping[str, Any], ...]
    data: str
