"""Calibrations: what a score means, read off a table made by hand; files of another model and damaged ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cosface_cli.artifacts.run.calibration import Calibration, Point, read_calibrations, write_calibrations
from cosface_cli.errors import CosfaceError, DamagedError, ModelMismatch


def rate(far: float, threshold: float | None) -> dict[str, Any]:
    return {"far": far, "threshold": threshold, "tar": None if threshold is None else 0.5}


CURVE = (
    Point(-1.0, 1000, 1.0, 1.0),
    Point(0.2, 100, 0.08, 0.12),
    Point(0.3, 10, 0.005, 0.02),
    Point(0.45, 1, 0.0, 0.006),
    Point(0.5, 0, 0.0, 0.004),
)
TABLE = Calibration(
    model="net",
    model_id="id-1",
    flip="none",
    genuine=50,
    impostors=1000,
    data={"source": "people"},
    rates=(rate(0.01, 0.31), rate(1e-6, None)),
    curve=CURVE,
)


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (-1.0, (1.0, 1.0, 1.0)),
        (0.1, (1.0, 0.08, 1.0)),  # between two points: no more than the lower says, and the interval spans both
        (0.2, (0.1, 0.08, 0.12)),
        (0.3, (0.01, 0.005, 0.02)),
        (0.35, (0.01, 0.0, 0.02)),
        (0.45, (0.001, 0.0, 0.006)),
        (0.5, (0.0, 0.0, 0.004)),
        (1.0, (0.0, 0.0, 0.004)),  # never nought alone: a thousand pairs do not say more
    ],
)
def test_what_a_score_means(score: float, expected: tuple[float, float, float]) -> None:
    assert TABLE.far_at(score) == pytest.approx(expected)


def test_thresholds() -> None:
    assert TABLE.threshold(0.01) == 0.31  # the table's own
    assert TABLE.threshold(0.05) == 0.3 and TABLE.threshold(0.001) == 0.45  # of the curve
    assert TABLE.threshold(1e-6) is None and TABLE.threshold(1e-4) is None  # a thousand pairs cannot tell


def test_files_come_back(tmp_path: Path) -> None:
    tables = {"none": TABLE, "sum": replace(TABLE, flip="sum", genuine=7)}
    write_calibrations(tmp_path / "c.json", tables)
    assert read_calibrations(tmp_path / "c.json", TABLE.identity) == tables
    first = (tmp_path / "c.json").read_bytes()
    write_calibrations(tmp_path / "c.json", dict(reversed(tables.items())))
    assert (tmp_path / "c.json").read_bytes() == first


def test_another_models_are_refused(tmp_path: Path) -> None:
    write_calibrations(tmp_path / "c.json", {"none": TABLE})
    with pytest.raises(ModelMismatch, match=r"made with net \(id-1\), expected other \(id-2\); .* --model other"):
        read_calibrations(tmp_path / "c.json", replace(TABLE, model_id="id-2", model="other").identity)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"kind": "something"}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_calibration(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(CosfaceError, match="not a calibration"):
        read_calibrations(tmp_path / "c.json")
    with pytest.raises(CosfaceError, match="no such calibration"):
        read_calibrations(tmp_path / "none.json")


@pytest.mark.parametrize(
    "damage",
    [
        lambda table: table.pop("curve"),
        lambda table: table["curve"].pop(),  # it ends at a rate of 0
        lambda table: table["curve"].reverse(),
        lambda table: table["curve"][1].append(1),
        lambda table: table["curve"][1].__setitem__(3, 2.0),
        lambda table: table["curve"][1].__setitem__(0, float("nan")),
        lambda table: table.__setitem__("impostors", 0),
        lambda table: table.__setitem__("genuine", "many"),
        lambda table: table["rates"].append({"far": 0.1}),
        lambda table: table["rates"][0].__setitem__("threshold", 1e999),
        lambda table: table.__setitem__("rates", 5),
    ],
)
def test_damage_is_told(damage: Any, tmp_path: Path) -> None:
    write_calibrations(tmp_path / "c.json", {"none": TABLE})
    found = json.loads((tmp_path / "c.json").read_text())
    damage(found["tables"]["none"])
    (tmp_path / "c.json").write_text(json.dumps(found))
    with pytest.raises(DamagedError, match=r"c\.json: the calibration is damaged"):
        read_calibrations(tmp_path / "c.json")


def test_a_newer_one(tmp_path: Path) -> None:
    write_calibrations(tmp_path / "c.json", {"none": TABLE})
    found = json.loads((tmp_path / "c.json").read_text())
    (tmp_path / "c.json").write_text(json.dumps({**found, "schema": 99}))
    with pytest.raises(CosfaceError, match="newer cosface"):
        read_calibrations(tmp_path / "c.json")
