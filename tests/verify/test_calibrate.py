"""Calibrations made from stores of vectors at known angles, of weights, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.run.calibration import calibration_path, read_calibrations
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.engines.models.calibrations import calibrations_of, keep
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.histogram import UNIT
from cosface_cli.outcomes import Note, Outcome
from cosface_cli.verify import CompareConfig
from cosface_cli.verify.calibration import CalibrateConfig
from cosface_cli.verify.calibration.stage import calibrate
from cosface_cli.verify.stage import compare_two
from tests.verify.conftest import MakeStore, at_angle, unit

FIRST = "ABCDEFGHIJ"


@pytest.fixture
def fan(make_store: MakeStore) -> Path:
    """Ten people 10 degrees apart, two photos each 1 degree apart: 10 genuine pairs, 180 impostor pairs."""
    vectors = {}
    for number, name in enumerate(FIRST):
        vectors[f"{name}/1.jpg"] = at_angle(10 * number)
        vectors[f"{name}/2.jpg"] = at_angle(10 * number + 1)
    return make_store(vectors)


def step(score: float) -> float:
    """The edge below a score."""
    return np.floor(score * UNIT) / UNIT


def test_worked_by_hand(fan: Path, tmp_path: Path) -> None:
    """Nearest impostors: 9 pairs 9 degrees apart, 18 of 10, 9 of 11. FAR .01 allows 1 of 180, so none pass."""
    report = calibrate(CalibrateConfig(source=fan, out=tmp_path / "c.json"))
    assert (report.people, report.faces, report.genuine, report.impostors) == (10, 20, 10, 180)
    first = report.rates[0]
    assert first["far"] == 0.01 and first["achieved_far"] == 0 and first["tar"] == 1
    assert first["threshold"] == pytest.approx(step(np.cos(np.radians(1))), abs=2e-6)
    assert 0 < first["low"] < 0.8 and first["high"] == 1  # ten pairs: the exact interval begins at .69
    assert [rate["impostors_needed"] for rate in report.rates[1:]] == [1000, 10_000, 100_000, 1_000_000]
    assert all(rate["tar"] is None for rate in report.rates[1:])
    table = read_calibrations(tmp_path / "c.json")["none"]
    assert table.far_at(1.0)[0] == 0 and table.far_at(1.0)[2] > 0.02
    nine = table.far_at(float(np.cos(np.radians(8.9))))
    assert nine[0] <= 9 / 180 and nine[1] == 0
    assert table.far_at(float(np.cos(np.radians(9.5))))[0] == pytest.approx(9 / 180)
    assert table.far_at(-1.0)[0] == 1.0 and table.data["people"] == 10


def test_calibration_gives_thresholds_and_false_accept_rates(fan: Path, tmp_path: Path) -> None:
    calibrate(CalibrateConfig(source=fan, out=tmp_path / "c.json"))
    config = CompareConfig(stores=(fan,), calibration=tmp_path / "c.json", far=0.05)
    (same,) = compare_two("A/1.jpg", "A/2.jpg", config)
    assert same.same and same.far == 0 and same.far_low == 0 and 0 < same.far_high < 0.05
    (other,) = compare_two("A/1.jpg", "C/1.jpg", config)
    assert not other.same and other.far_low < other.far < other.far_high
    assert other.far == pytest.approx(61 / 180, abs=0.05)  # 9 + 18 + 9 pairs nearer than 19 degrees, 24 up to 20
    with pytest.raises(CosfaceError, match=r"180 impostor pairs do not resolve --far 0\.001"):
        compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(fan,), calibration=tmp_path / "c.json"))


def test_a_table_is_of_one_model_and_flip(fan: Path, make_store: MakeStore, tmp_path: Path) -> None:
    calibrate(CalibrateConfig(source=fan, out=tmp_path / "c.json"))
    vectors = {"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(1)}
    other = make_store(vectors, name="other.h5", model="other")
    with pytest.raises(ModelMismatch, match=r"made with net .*, expected other"):
        compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(other,), calibration=tmp_path / "c.json", far=0.01))
    flipped = make_store(vectors, name="flipped.h5", flip="sum")
    with pytest.raises(CosfaceError, match="no table for --flip sum, only for none"):
        compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(flipped,), calibration=tmp_path / "c.json", far=0.01))


def test_flips_stand_side_by_side(fan: Path, make_store: MakeStore, tmp_path: Path) -> None:
    calibrate(CalibrateConfig(source=fan, out=tmp_path / "c.json"))
    both = {f"{name}/{n}.jpg": at_angle(20 * i + n) for i, name in enumerate("AB") for n in (1, 2)}
    calibrate(CalibrateConfig(source=make_store(both, name="sum.h5", flip="sum"), out=tmp_path / "c.json"))
    assert set(read_calibrations(tmp_path / "c.json")) == {"none", "sum"}


def test_other_files_are_not_overwritten(fan: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"a photo")
    with pytest.raises(CosfaceError, match="not a calibration"):
        calibrate(CalibrateConfig(source=fan, out=tmp_path / "photo.jpg"))
    assert (tmp_path / "photo.jpg").read_bytes() == b"a photo"
    with pytest.raises(CosfaceError, match="--out FILE"):
        calibrate(CalibrateConfig(source=fan))  # a built-in model's came with it


def test_people_that_cannot_be_calibrated_on(make_store: MakeStore, tmp_path: Path) -> None:
    for vectors, part in [
        ({"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(5)}, "no two people"),
        ({"1.jpg": at_angle(0), "2.jpg": at_angle(5)}, "no two people"),
        ({"A/1.jpg": at_angle(0), "B/2.jpg": at_angle(5)}, "no person has two photos"),
    ]:
        with pytest.raises(CosfaceError, match=part):
            calibrate(CalibrateConfig(source=make_store(vectors), out=tmp_path / "c.json"))
    with pytest.raises(CosfaceError, match="no person is called Z"):
        calibrate(
            CalibrateConfig(source=make_store({"A/1.jpg": at_angle(0)}), out=tmp_path / "c.json", leave_out=("Z",))
        )


def test_doubles_and_people_with_two_names(make_store: MakeStore, tmp_path: Path) -> None:
    """A photo twice counts once; one that is there as two people counts for nobody; alike people are named."""
    random = np.random.default_rng(3)
    vectors = {}
    for name in [f"p{number:02}" for number in range(40)]:
        centre = random.normal(size=16)
        for photo in range(3):
            vectors[f"{name}/{photo}.jpg"] = unit(*(centre + 0.1 * random.normal(size=16)))
    vectors["p00/again.jpg"] = vectors["p00/0.jpg"]
    vectors["p01/torn.jpg"] = vectors["p02/torn.jpg"] = unit(*random.normal(size=16))
    for photo in range(3):
        vectors[f"also p03/{photo}.jpg"] = unit(*(vectors["p03/0.jpg"] + 0.02 * random.normal(size=16)))
    outcomes: list[Outcome] = []
    report = calibrate(CalibrateConfig(source=make_store(vectors), out=tmp_path / "c.json"), outcomes.append)
    words = [note.text for note in outcomes if isinstance(note, Note)]
    assert report.faces == 41 * 3 and report.people == 41
    assert any("1 photos are in the folders of two people (p01 and p02)" in text for text in words)
    assert [text for text in words if "look like one person" in text] == [
        "also p03 and p03 look like one person to this model: --leave-out one of them if they are"
    ]
    config = CalibrateConfig(source=make_store(vectors), out=tmp_path / "d.json", leave_out=("also p03",))
    assert calibrate(config).people == 40
    assert read_calibrations(tmp_path / "d.json")["none"].data["left_out"] == ["also p03"]


def test_into_an_onnx_files_neighbour(fan: Path, shared: Path, tmp_path: Path) -> None:
    model = tmp_path / "face.onnx"
    shutil.copy(shared / "models" / "mobilefacenet_diandianti.onnx", model)
    with pytest.raises(ModelMismatch, match="expected face"):
        calibrate(CalibrateConfig(source=fan, models=(str(model),)))
    embedder = open_embedder(str(model))
    assert calibrations_of(str(model), embedder) == {}
    calibrate(CalibrateConfig(source=fan, out=tmp_path / "c.json"))
    table = read_calibrations(tmp_path / "c.json")["none"]
    keep(str(model), {"none": table})
    with pytest.raises(ModelMismatch, match=r"made with net .*, expected face"):  # a table of net's
        calibrations_of(str(model), embedder)
    assert calibration_path(model).name == "face.onnx.calibration.json"
