"""What a model's scores mean: how often two people reach a score, and the thresholds of given false accept rates.

Tables by flip mode stand in the header of weights, or in a JSON file: beside an ONNX file, or wherever one is asked
for. A table is of one model: it carries the model's id, and is refused with another.
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
_HINT = "make it anew: cosface verify calibrate"


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve of false accepts."""

    threshold: float
    """A score."""
    accepted: int
    """Impostor pairs that score at least as much."""
    low: float
    """Lower end of the 95 % interval of their rate."""
    high: float
    """Upper end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What the scores of one model mean, from pairs of people whom the model has not seen."""

    model: str
    """Name of the model."""
    model_id: str
    """Hash of what decides its vectors."""
    flip: Flip
    """The flip mode."""
    genuine: int
    """Number of genuine pairs."""
    impostors: int
    """Number of impostor pairs."""
    data: Mapping[str, Any]
    """What the pairs are of: source, fingerprint, people, faces."""
    rates: tuple[Mapping[str, Any], ...]
    """A Rate (maths.rates) as a mapping for each FAR; its tar is None where the pairs cannot resolve the FAR."""
    curve: tuple[Point, ...]
    """By rising threshold, from FAR 1 to 0."""

    @property
    def identity(self) -> ModelIdentity:
        """The model whose scores these are, of crops and in a precision that are not recorded."""
        return ModelIdentity(name=self.model, id=self.model_id, flip=self.flip)

    def threshold(self, far: float) -> float | None:
        """The lowest score at which at most `far` of the impostor pairs pass, None where they cannot tell.

        From the table where it has that rate, else from the curve, whose steps are coarser: then a little higher.
        """
        for rate in self.rates:
            if math.isclose(rate["far"], far):
                return None if rate["threshold"] is None else float(rate["threshold"])
        allowed = allowed_accepts(far, self.impostors)
        if allowed < 1:
            return None
        return next(point.threshold for point in self.curve if point.accepted <= allowed)

    def far_at(self, score: float) -> tuple[float, float, float]:
        """The share of impostor pairs that score as much or more, and its 95 % interval, 0..1.

        Between two points it is that of the lower one, and the interval spans both.
        """
        at = max(bisect_right(self.curve, score, key=lambda point: point.threshold) - 1, 0)
        point, above = self.curve[at], self.curve[min(at + 1, len(self.curve) - 1)]
        exact = point.threshold == score
        return point.accepted / self.impostors, point.low if exact else above.low, point.high


def to_tables(calibrations: Mapping[str, Calibration]) -> dict[str, Any]:
    """Tables by flip mode as JSON holds them."""
    tables = {}
    for flip, found in sorted(calibrations.items()):
        values = asdict(found)
        own = {name: values[name] for name in ("genuine", "impostors", "data", "rates")}
        tables[flip] = {**own, "curve": [[p.threshold, p.accepted, p.low, p.high] for p in found.curve]}
    return tables


def from_tables(tables: Any, model: str, model_id: str, path: Path) -> dict[str, Calibration]:
    """The same again. Raises DamagedError naming path where they are not such tables."""
    try:
        return {as_flip(flip): _table(found, model, model_id, as_flip(flip)) for flip, found in dict(tables).items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DamagedError("its calibration is damaged", path, _HINT) from error


def write_calibrations(path: Path, calibrations: Mapping[str, Calibration]) -> None:
    """Write tables of one model to a file, whole or not at all."""
    first = next(iter(calibrations.values()))
    head = {"kind": KIND, "schema": SCHEMA, "model": first.model, "model_id": first.model_id}
    atomic.write_text(path, json.dumps({**head, "tables": to_tables(calibrations)}) + "\n")


def read_calibrations(path: Path, model: ModelIdentity | None = None) -> dict[str, Calibration]:
    """The tables of a file by flip mode.

    Raises CosfaceError for another kind of file, ModelMismatch where it is of another model than `model`.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise CosfaceError("no such calibration", path, _HINT) from None
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("kind") != KIND:
        raise CosfaceError("not a calibration", path, _HINT)
    if not isinstance(found.get("schema"), int) or found["schema"] > SCHEMA:
        raise CosfaceError("this calibration was written by a newer cosface", path, "pip install -U cosface")
    table_model = ModelIdentity(name=str(found.get("model")), id=str(found.get("model_id")))
    if model is not None:
        table_model.require_same(model, path, f"run cosface verify calibrate PEOPLE --model {model.name}")
    return from_tables(found.get("tables"), table_model.name, table_model.id, path)


def beside(model: Path) -> Path:
    """Where the tables of a file that cannot hold them lie."""
    return model.with_name(model.name + ENDING)


def _table(found: Mapping[str, Any], model: str, model_id: str, flip: Flip) -> Calibration:
    curve = tuple(Point(float(t), int(n), float(low), float(high)) for t, n, low, high in found["curve"])
    genuine, impostors = int(found["genuine"]), int(found["impostors"])
    rates = tuple(dict(rate) for rate in found["rates"])
    rising = all(a.threshold < b.threshold and a.accepted >= b.accepted for a, b in pairwise(curve))
    whole = bool(curve) and curve[0].accepted == impostors and curve[-1].accepted == 0 and rising
    if not whole or min(genuine, impostors) < 1 or not all(0 <= p.low <= p.high <= 1 for p in curve):
        raise ValueError("no curve")
    for rate in rates:
        far, threshold = float(rate["far"]), rate["threshold"]
        if not 0 < far < 1 or not (threshold is None or math.isfinite(float(threshold))):
            raise ValueError("no rate")
    return Calibration(
        model=model,
        model_id=model_id,
        flip=flip,
        genuine=genuine,
        impostors=impostors,
        data=dict(found["data"]),
        rates=rates,
        curve=curve,
    )
