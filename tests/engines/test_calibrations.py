"""The calibrations that come with the built-in models, and where those of others are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.run.calibration import Calibration, Point, calibration_path
from cosface_cli.artifacts.run.weights import read_header, read_tensors
from cosface_cli.artifacts.store.store_file import Store
from cosface_cli.embed import EmbedConfig
from cosface_cli.embed.stage import embed
from cosface_cli.engines.embedders import EMBEDDERS, FLIPS
from cosface_cli.engines.embedders.open_embedder import open_embedder
from cosface_cli.engines.models.calibrations import calibrations_of, keep
from cosface_cli.errors import CosfaceError, DamagedError
from tests.runs import a_run

FARS = [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
CURVE = (Point(-1.0, 10, 1.0, 1.0), Point(0.5, 0, 0.0, 0.3))
TABLE = Calibration(
    model="mine", model_id="", flip="none", genuine=5, impostors=10, data={"source": "people"}, rates=(), curve=CURVE
)


@pytest.mark.parametrize("name", EMBEDDERS.names)
def test_every_built_in_model_has_a_calibration(name: str) -> None:
    embedder = open_embedder(name)
    tables = calibrations_of(name, embedder)
    assert set(tables) == set(FLIPS)
    for flip, table in tables.items():
        assert table.model_id == embedder.model_id and table.impostors > 10_000_000
        assert [rate["far"] for rate in table.rates] == FARS
        for rate in table.rates:
            assert rate["achieved_far"] <= rate["far"] and rate["far_low"] <= rate["achieved_far"] <= rate["far_high"]
            assert rate["low"] <= rate["tar"] <= rate["high"]
            assert table.far_at(rate["threshold"])[0] == pytest.approx(rate["achieved_far"])
        for name_of in ("threshold", "tar"):
            values = [rate[name_of] for rate in table.rates]
            assert values == sorted(values, reverse=name_of == "tar")
        assert table.data["people"] + len(table.data["left_out"]) == 299
        assert embedder.thresholds[flip] == table.threshold(1e-3)


def test_it_holds_for_a_few_of_its_people(shared: Path, tmp_path: Path) -> None:
    """Of 28 people, four photos each: about one in a hundred impostor pairs reaches the threshold of .01."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for person in range(7201, 7481, 10):
        (raw / str(person)).mkdir()
        for photo in sorted((shared / "data" / "celeba" / str(person)).iterdir())[:4]:
            (raw / str(person) / photo.name).symlink_to(photo)
    embed(EmbedConfig(source=str(raw), store=tmp_path / "f.h5", workers=1))
    with Store(tmp_path / "f.h5") as store:
        vectors, rows = store.vectors(0, len(store)), list(store.rows())
    people = np.array([row.identity for row in rows])
    impostors = (vectors @ vectors.T)[np.triu(people[:, None] != people[None], 1)]
    table = calibrations_of("dlib", open_embedder("dlib"))["none"]
    assert impostors.size > 5000
    assert 0.002 < (impostors >= table.threshold(1e-2)).mean() < 0.03
    middle = float(np.median(impostors))
    assert table.far_at(middle)[0] == pytest.approx(0.5, abs=0.15)


@pytest.mark.slow
def test_in_the_header_of_weights(tmp_path: Path, model_cache: Path) -> None:
    """The model stays the same: its id is of its tensors."""
    run = a_run(tmp_path / "mine", "mobilefacenet")
    before, embedder = read_tensors(run / "weights.safetensors"), open_embedder(str(run))
    assert calibrations_of(str(run), embedder) == {}
    table = replace(TABLE, model_id=embedder.model_id)
    for spec in (run, run / "weights.safetensors"):
        assert keep(str(spec), {"none": table}) == run / "weights.safetensors"
        assert calibrations_of(str(spec), embedder) == {"none": table}
    after = read_tensors(run / "weights.safetensors")
    assert all(np.array_equal(before[name], after[name]) for name in before) and len(before) == len(after)
    assert read_header(run / "weights.safetensors").model_id == open_embedder(str(run)).model_id == embedder.model_id


def test_a_damaged_header_is_reported(tmp_path: Path, model_cache: Path) -> None:
    from cosface_cli.artifacts.run.weights import read_trained, save_weights

    run = a_run(tmp_path / "mine", "mobilefacenet")
    file, header, tensors = read_trained(run)
    save_weights(file, tensors, replace(header, calibration={"none": {"curve": []}}))
    with pytest.raises(DamagedError, match="the calibration is damaged"):
        calibrations_of(str(run), open_embedder(str(run)))


def test_a_built_in_calibration_is_not_overwritten() -> None:
    with pytest.raises(CosfaceError, match="--out FILE"):
        keep("dlib", {"none": TABLE})
    assert calibration_path(Path("a/b.onnx")) == Path("a/b.onnx.calibration.json")
