"""The calibration of a model: the false accept rate at each score, and the thresholds for false accept rates.

There is one table for each flip mode. They are in the header of weights, in a JSON file beside an ONNX file, or in a
JSON file at any other path. A file has the id of its model, and using it with another model is an error.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.model_identity import Flip, ModelIdentity, as_flip
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.maths.rates import allowed_accepts

KIND = "cosface calibration"
SCHEMA = 1
ENDING = ".calibration.json"
_HINT = "make it again: cosface verify calibrate"


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve of false accepts."""

    threshold: float
    """The score."""
    accepted: int
    """Number of impostor pairs with at least this score."""
    low: float
    """Lower end of the 95 % interval of the false accept rate."""
    high: float
    """Upper end of the 95 % interval of the false accept rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The calibration of one model and flip mode, from pairs of people who are not in the model's training data."""

    model: str
    """Name of the model."""
    model_id: str
    """Hash of everything that decides its vectors."""
    flip: Flip
    """The flip mode."""
    genuine: int
    """Number of genuine pairs."""
    impostors: int
    """Number of impostor pairs."""
    data: Mapping[str, Any]
    """The data of the pairs: source, fingerprint, people, faces."""
    rates: tuple[Mapping[str, Any], ...]
    """A Rate (maths.rates) as a mapping for each FAR; its tar is None where the pairs cannot resolve the FAR."""
    curve: tuple[Point, ...]
    """Points by rising threshold, from FAR 1 to 0."""

    @property
    def identity(self) -> ModelIdentity:
        """The model of these scores. Its crops and precision are not recorded."""
        return ModelIdentity(name=self.model, id=self.model_id, flip=self.flip)

    def threshold(self, far: float) -> float | None:
        """The lowest score at which at most `far` of the impostor pairs pass; None if there are too few pairs.

        It comes from `rates` if they contain far, else from the coarser curve: then it is slightly higher.
        """
        for rate in self.rates:
            if math.isclose(rate["far"], far):
                return None if rate["threshold"] is None else float(rate["threshold"])
        allowed = allowed_accepts(far, self.impostors)
        if allowed < 1:
            return None
        return next(point.threshold for point in self.curve if point.accepted <= allowed)

    def far_at(self, score: float) -> tuple[float, float, float]:
        """The share of impostor pairs with at least this score, and its 95 % interval, 0..1.

        Between two points of the curve it is the share of the lower one, and the interval covers both.
        """
        at = max(bisect_right(self.curve, score, key=lambda point: point.threshold) - 1, 0)
        point, above = self.curve[at], self.curve[min(at + 1, len(self.curve) - 1)]
        exact = point.threshold == score
        return point.accepted / self.impostors, point.low if exact else above.low, point.high


def to_tables(calibrations: Mapping[str, Calibration]) -> dict[str, dict[str, object]]:
    """Calibrations by flip mode as JSON values."""
    tables = {}
    for flip, calibration in sorted(calibrations.items()):
        values = asdict(calibration)
        counts = {name: values[name] for name in ("genuine", "impostors", "data", "rates")}
        tables[flip] = {**counts, "curve": [[p.threshold, p.accepted, p.low, p.high] for p in calibration.curve]}
    return tables


def from_tables(tables: Any, model: str, model_id: str, path: Path) -> dict[str, Calibration]:
    """Calibrations by flip mode from to_tables' values. Raises DamagedError naming path if they are invalid."""
    try:
        by_flip = {as_flip(flip): table for flip, table in dict(tables).items()}
        return {flip: _calibration(table, model, model_id, flip) for flip, table in by_flip.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DamagedError("the calibration is damaged", path, _HINT) from error


def write_calibrations(path: Path, calibrations: Mapping[str, Calibration]) -> None:
    """Write the calibrations of one model to a file, whole or not at all."""
    first = next(iter(calibrations.values()))
    head = {"kind": KIND, "schema": SCHEMA, "model": first.model, "model_id": first.model_id}
    atomic.write_text(path, json.dumps({**head, "tables": to_tables(calibrations)}) + "\n")


def read_calibrations(path: Path, model: ModelIdentity | None = None) -> dict[str, Calibration]:
    """The calibrations in a file, by flip mode.

    Raises CosfaceError for another kind of file, ModelMismatch if the file is not of `model`.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CosfaceError("no such calibration", path, _HINT) from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise CosfaceError("not a calibration", path, _HINT)
    if not isinstance(content.get("schema"), int) or content["schema"] > SCHEMA:
        raise CosfaceError("this calibration was written by a newer cosface", path, "pip install -U cosface")
    table_model = ModelIdentity(name=str(content.get("model")), id=str(content.get("model_id")))
    if model is not None:
        table_model.require_same(model, path, f"run cosface verify calibrate PEOPLE --model {model.name}")
    return from_tables(content.get("tables"), table_model.name, table_model.id, path)


def calibration_path(model: Path) -> Path:
    """The calibration file beside a model file that cannot contain its calibration."""
    return model.with_name(model.name + ENDING)


def _calibration(table: Mapping[str, Any], model: str, model_id: str, flip: Flip) -> Calibration:
    curve = tuple(Point(float(t), int(n), float(low), float(high)) for t, n, low, high in table["curve"])
    genuine, impostors = int(table["genuine"]), int(table["impostors"])
    rates = tuple(dict(rate) for rate in table["rates"])
    rising = all(a.threshold < b.threshold and a.accepted >= b.accepted for a, b in pairwise(curve))
    complete = bool(curve) and curve[0].accepted == impostors and curve[-1].accepted == 0 and rising
    if not complete or min(genuine, impostors) < 1 or not all(0 <= p.low <= p.high <= 1 for p in curve):
        raise ValueError("the curve is invalid")
    for rate in rates:
        far, threshold = float(rate["far"]), rate["threshold"]
        if not 0 < far < 1 or not (threshold is None or math.isfinite(float(threshold))):
            raise ValueError("a rate is invalid")
    return Calibration(
        model=model,
        model_id=model_id,
        flip=flip,
        genuine=genuine,
        impostors=impostors,
        data=dict(table["data"]),
        rates=rates,
        curve=curve,
    )
