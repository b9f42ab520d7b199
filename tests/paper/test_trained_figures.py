"""Figures 4 and 5 and both tables on made-up people: what is trained, what is printed, what a second call does."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosface_cli.app import run as command_line
from cosface_cli.artifacts.crops.manifest import open_crops
from cosface_cli.artifacts.pictures import encode_png
from cosface_cli.artifacts.run.run_record import read_record
from cosface_cli.artifacts.run.weights import read_header
from cosface_cli.errors import CosfaceError
from cosface_cli.losses.annealing import Annealing
from cosface_cli.outcomes import Done, Outcome, Rejected, Skipped
from cosface_cli.paper import Fig4Config, Fig5Config, TableConfig
from cosface_cli.paper.figures.fig4 import fig4
from cosface_cli.paper.figures.fig5 import fig5
from cosface_cli.paper.figures.table1 import table1
from cosface_cli.paper.figures.table2 import annealing, table2
from cosface_cli.paper.published_values import TABLE2
from cosface_cli.paper.trainings import pair_accuracy
from cosface_cli.paper.trainings.identity_subset import copy_crops, crops_of_largest_identities
from cosface_cli.paper.trainings.loss_comparison import Comparison
from cosface_cli.train import stage
from cosface_cli.verify.protocols.lfw import LfwConfig
from cosface_cli.verify.stage import verify_protocol
from tests.train.conftest import Heard, contents, crop_folder_with_pairs, write_crops

pytestmark = pytest.mark.slow


@pytest.fixture
def training(tiny: str) -> dict[str, Any]:
    """A network that trains in milliseconds."""
    return {"template": "arcface", "backbone": tiny, "epochs": 2, "batch": 8, "device": "cpu", "threads": 1}


@pytest.fixture
def comparison(training: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The same, and the pairs that it is verified on."""
    root, pairs = crop_folder_with_pairs(tmp_path)
    where = {"aligned": root, "pairs": pairs, "root": root, "out": tmp_path / "paper"}
    return {**training, **where, "template": None, "workers": 1}


@pytest.fixture
def table(comparison: dict[str, Any]) -> TableConfig:
    return TableConfig(**comparison)


def write_varied_crops(root: Path, people: int, images: int) -> Path:
    """Crops whose whole squares change from picture to picture, so that people are not told apart at once."""
    draw, square = np.random.default_rng(0), np.ones((16, 14, 1))
    for person in range(people):
        (root / f"p{person}").mkdir(parents=True)
        face = draw.integers(0, 256, (7, 8, 3))
        for image in range(images):
            crop = np.kron(face + draw.normal(0, 60, face.shape), square).clip(0, 255).astype(np.uint8)
            (root / f"p{person}" / f"{image}.png").write_bytes(encode_png(crop))
    return root


def done(outcomes: list[Outcome], kind: type[Done] | type[Skipped]) -> list[str]:
    return [outcome.source for outcome in outcomes if isinstance(outcome, kind)]


def test_table_2_trains_eight_losses_alike_and_once(table: TableConfig, heard: Heard, monkeypatch: pytest.MonkeyPatch):
    report = table2(table, heard)
    assert [row["loss"] for row in report.rows] == list(TABLE2) and len(report.rows) == 8
    assert [row["paper_lfw"] for row in report.rows] == [0.9788, 0.9878, 0.9870, 0.9910, 0.9905, 0.9942, 0.9932, 0.9933]
    assert [row["paper_place"] for row in report.rows] == [8, 6, 7, 4, 5, 1, 3, 2]
    runs = sorted((table.out / "runs").iterdir())
    records = {run.name: read_record(run / "run.json") for run in runs if run.is_dir()}
    assert len(records) == 8 and len(done(heard.outcomes, Done)) == 8
    losses = {name: record.settings["loss"] for name, record in records.items()}
    assert set(losses.values()) == {
        "softmax", "contrastive", "triplet", "l-softmax", "center", "sphereface", "sphereface-norm", "cosface"
    }  # fmt: skip
    for name, record in records.items():
        own = {"loss", "head", "sampling"}
        first = records["softmax-seed0"].settings
        assert {k: v for k, v in record.settings.items() if k not in own} == {
            k: v for k, v in first.items() if k not in own
        }, name
        assert record.data["fingerprint"] == records["softmax-seed0"].data["fingerprint"]
        assert (record.settings["sampling"] == "balanced 4") == (record.settings["loss"] in ("contrastive", "triplet"))
    assert records["cosface-m0.35-seed0"].settings["head"] == {"m": 0.35, "s": 30.0}
    heads = [records[f"{name}-seed0"].settings["head"] for name in ("l-softmax", "sphereface", "sphereface-norm")]
    assert all(head["gamma"] == pytest.approx(3 * 199 / 4) and head["m"] >= 2 for head in heads)

    # as cosface verify scores the same weights
    for row, run in ((report.rows[7], "cosface-m0.35-seed0"), (report.rows[2], "triplet-seed0")):
        config = LfwConfig(
            source=table.root, pairs=table.pairs, models=(str(table.out / "runs" / run),), flip="concat", workers=1
        )
        alone = verify_protocol(config)
        assert (row["accuracy"], row["accuracy_se"]) == (alone.accuracy, alone.accuracy_se)
    assert sum(row["place"] == 1 for row in report.rows) >= 1
    assert {row["place"] for row in report.rows} <= set(range(1, 9))
    for words in ("4 identities, 16 crops; the paper's CASIA-WebFace has 10,575 and 490,000", "network: tiny",
                  "length: 4 steps of 8 crops; the paper's 30,000 of 512", "s 30; the paper's 64",
                  "16 pairs in 2 folds", "to its minimum in 1 steps, not 1,658"):  # fmt: skip
        assert words in heard.notes and any(words in sentence for sentence in report.differs), words
    written = {kind: (table.out / f"table2.{kind}").read_bytes() for kind in ("json", "png", "svg")}
    assert len(json.loads(written["json"])["runs"]) == 8

    # the same again: nothing is trained or scored, and the same files are written
    second = Heard()
    with monkeypatch.context() as patch:
        patch.setattr(pair_accuracy, "verify_protocol", None)
        assert table2(table, second).rows == report.rows
    assert len(done(second.outcomes, Skipped)) == 8 and not done(second.outcomes, Done)
    assert all((table.out / f"table2.{kind}").read_bytes() == written[kind] for kind in written)

    # what is missing is made again, and nothing else
    shutil.rmtree(table.out / "runs" / "center-seed0")
    (table.out / "scores" / "softmax-seed0.json").unlink()
    third = Heard()
    assert table2(table, third).rows == report.rows
    assert done(third.outcomes, Done) == ["center-seed0"]
    assert all((table.out / f"table2.{kind}").read_bytes() == written[kind] for kind in written)


def test_lambda_reaches_its_least_in_the_first_third_of_a_short_training_and_as_published_in_a_long_one():
    for steps, begins, least in ((600, 1000 / (1 + 199 / 200), 200), (28_000, 1000 / 1.12, 1659)):
        lambda_ = Annealing(**annealing(steps))
        lambda_.iteration.fill_(1)
        assert lambda_.value().item() == pytest.approx(begins)
        lambda_.iteration.fill_(least)
        assert lambda_.value().item() == pytest.approx(5, rel=1e-4)
        lambda_.iteration.fill_(least - 10)
        assert lambda_.value().item() > 5.02


def test_table_1_begins_without_normalisation_with_softmax_s_weights(table: TableConfig, heard: Heard):
    table = replace(table, seeds=(0, 1))
    report = table1(table, heard)
    assert [row["normalisation"] for row in report.rows] == [False, True]
    assert [row["paper_lfw"] for row in report.rows] == [0.9910, 0.9933]
    assert [row["paper_ytf"] for row in report.rows] == [0.931, 0.961]
    for seed in (0, 1):
        runs = table.out / "runs"
        softmax = read_header(runs / f"softmax-seed{seed}" / "weights.safetensors")
        without = read_header(runs / f"cosface-unnormalised-m0.35-seed{seed}" / "weights.safetensors")
        assert without.lineage == (softmax.model_id,) and without.loss == {"name": "cosface-unnormalised", "m": 0.35}
        assert read_header(runs / f"cosface-m0.35-seed{seed}" / "weights.safetensors").lineage == ()
    found = [json.loads(path.read_text())["report"] for path in (table.out / "scores").glob("cosface-m0.35-*.json")]
    first, second = (run["accuracy"] for run in found)
    assert report.rows[1]["accuracy"] == pytest.approx((first + second) / 2)
    assert report.rows[1]["accuracy_sd"] == pytest.approx(abs(first - second) / np.sqrt(2))
    assert report.rows[1]["seeds"] == 2
    assert not (table.out / "scores" / "softmax-seed0.json").exists()  # only a beginning


def test_another_margin_or_flip_than_the_paper_s_is_said(table: TableConfig):
    said = ("margin: m 0.2; the paper's 0.35", "test: flip none; the paper's concat")
    assert not set(said) & set(table1(table).differs)
    other = replace(table, m=0.2, flip="none")
    for report in (
        table1(other),
        table2(replace(other, epochs=1, out=other.out / "2")),
    ):
        assert set(said) <= set(report.differs)
    assert set(said) <= set(json.loads((other.out / "table1.json").read_text())["differs"])


def test_the_errors_of_a_comparison_are_all_of_one_kind():
    """Of two seeds one was stopped: its row has no deviation, and not that over the folds instead."""
    both, one = (
        {"seeds": 2, "accuracy_se": 0.1, "accuracy_sd": 0.02},
        {"seeds": 1, "accuracy_se": 0.1, "accuracy_sd": None},
    )
    found = Comparison((both, one), (), ())
    assert (found.errors, found.error_kind) == ([0.02, None], "deviation over 2 seeds")
    found = Comparison((one, one), (), ())
    assert (found.errors, found.error_kind) == ([0.1, 0.1], "standard error over the folds")


def test_scores_follow_the_photos(comparison: dict[str, Any], table: TableConfig, heard: Heard):
    config = Fig5Config(**comparison, margins=(0.2,))
    fig5(config, heard)
    score = table.out / "scores" / "cosface-m0.2-seed0.json"
    before = json.loads(score.read_text())
    crop = table.root / "p0" / "p0_0001.png"
    other = (table.root / "p1" / "p1_0001.png").read_bytes()
    config = replace(config, root=table.out.parent / "elsewhere")
    shutil.copytree(table.root, config.root)
    (config.root / crop.relative_to(table.root)).write_bytes(other)
    fig5(config, heard)
    after = json.loads(score.read_text())
    assert after["of"]["model_id"] == before["of"]["model_id"] and after["of"]["photos"] != before["of"]["photos"]
    assert after["report"]["data"] != before["report"]["data"]


def test_fig_5_and_a_training_that_diverges(comparison: dict[str, Any], table: TableConfig, heard: Heard):
    config = Fig5Config(**comparison, margins=(0.35, 0.0, 0.35))
    report = fig5(config, heard)
    assert [row["m"] for row in report.rows] == [0.0, 0.35]
    assert [row["paper_lfw"] for row in report.rows] == [None, 0.9933]
    assert {path.name for path in (table.out / "runs").iterdir() if path.is_dir()} == {
        "nsl-seed0", "cosface-m0.35-seed0"
    }  # fmt: skip

    wild = replace(config, lr=1e12, epochs=9, out=table.out.parent / "wild")
    told = Heard()
    stopped = fig5(wild, told)
    assert [row["accuracy"] for row in stopped.rows] == [None, None] and (wild.out / "fig5.png").is_file()
    rejects = [outcome for outcome in told.outcomes if isinstance(outcome, Rejected)]
    assert [reject.source for reject in rejects] == ["nsl-seed0", "cosface-m0.35-seed0"]
    assert all("stopped after step" in reject.words for reject in rejects)
    assert [run["stopped"] is not None for run in json.loads((wild.out / "fig5.json").read_text())["runs"]] == [
        True
    ] * 2

    told = Heard()
    rows = table1(TableConfig(**{**comparison, "lr": 1e12, "epochs": 9, "out": wild.out}), told).rows
    assert [row["accuracy"] for row in rows] == [None, None] and (wild.out / "table1.png").is_file()
    words = {outcome.source: outcome.words for outcome in told.outcomes if isinstance(outcome, Rejected)}
    assert list(words) == ["softmax-seed0", "cosface-unnormalised-m0.35-seed0", "cosface-m0.35-seed0"]
    assert words["cosface-unnormalised-m0.35-seed0"] == "softmax-seed0, which it starts from, was stopped"

    longer = replace(config, epochs=3)
    with pytest.raises(CosfaceError, match="this run is of other epochs") as error:
        fig5(longer, heard)
    assert error.value.hint == "choose another --out"
    for margins in ((), (0.1, 1.0)):
        with pytest.raises(CosfaceError, match="--margins"):
            fig5(replace(config, margins=margins))


def test_what_cannot_be_scored_is_known_before_anything_is_trained(table: TableConfig, tmp_path: Path):
    for wrong in (
        {"root": tmp_path / "nowhere"},
        {"pairs": tmp_path / "none.txt"},
        {"flip": "twice"},
        {"seeds": ()},
    ):
        with pytest.raises(CosfaceError):
            table2(replace(table, **wrong))
    assert not table.out.exists()


def test_what_cannot_be_trained_is_known_before_anything_is(table: TableConfig):
    """Among the runs: a margin, a scale, and batches of four crops a person, which softmax alone could do without."""
    for wrong, words in (
        ({"m": 1.5}, r"the margin 1\.5 is above 1\.33"),
        ({"s": 0.0}, "--s must be above 0, got 0"),
        ({"batch": 6}, "--batch must be a multiple of --images-per-identity 4, got 6"),
        ({"seeds": (0, -1)}, "--seeds must be at least 0, got -1"),
    ):
        with pytest.raises(CosfaceError, match=words):
            table2(replace(table, **wrong))
        if "margin" in words:
            with pytest.raises(CosfaceError, match=words):
                table1(replace(table, **wrong))
        assert not (table.out / "runs").exists()


def test_fig_4_on_the_circle(training: dict[str, Any], plain: str, tmp_path: Path, heard: Heard):
    crops = write_varied_crops(tmp_path / "aligned", people=7, images=8)
    write_crops(tmp_path / "few", people=1, images=3)
    (tmp_path / "few" / "p0").rename(crops / "a stranger")  # has fewer crops than the others
    training |= {"recipe": plain, "epochs": None, "steps": 120, "batch": 16, "lr": 0.05, "s": 30.0}
    config = Fig4Config(**training, aligned=crops, people=6, margins=(0.0, 0.2), out=tmp_path / "paper")
    report = fig4(config, heard)
    assert [row["loss"] for row in report.rows] == ["Softmax", "NSL (LMCL, m = 0)", "LMCL, m = 0.2"]
    found = json.loads((config.out / "fig4.json").read_text())
    assert found["identities"] == [f"p{i}" for i in range(6)]
    softmax, nsl, margin = report.rows
    for row in report.rows:
        points = found["points"][row["loss"]]
        features, labels = np.array(points["features"]), np.array(points["labels"])
        assert features.shape == (48, 2) and np.bincount(labels).tolist() == [8] * 6
        # by hand: each person's mean direction, and the nearest two of them
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        means = np.stack([unit[labels == person].mean(axis=0) for person in range(6)])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        assert row["max_cosine_of_centres"] == pytest.approx((means @ means.T - 2 * np.eye(6)).max(), abs=1e-9)
        off = np.degrees(np.arccos(np.clip((unit * means[labels]).sum(axis=1), -1, 1)))
        assert row["angle_to_centre"] == pytest.approx(off.mean(), abs=1e-5)
    # six directions on a circle are at best 60 degrees apart; a margin sees to it that none stay together
    assert 0.5 < margin["max_cosine_of_centres"] < nsl["max_cosine_of_centres"] - 0.1
    assert margin["least_gap"] > nsl["least_gap"] and margin["accuracy_by_angle"] >= nsl["accuracy_by_angle"]
    assert max(row["max_cosine_of_centres"] for row in report.rows) <= 1 and softmax["accuracy"] > 0.9
    assert (config.out / "fig4.png").stat().st_size > 10_000

    written = contents(config.out)
    again = Heard()
    fig4(config, again)
    assert len(done(again.outcomes, Skipped)) == 3 and contents(config.out) == written
    with pytest.raises(CosfaceError, match="this folder has other people's crops"):
        fig4(replace(config, people=5))


def test_fig_4_refuses_a_margin_that_the_circle_has_no_room_for(tmp_path: Path):
    config = Fig4Config(aligned=tmp_path / "none", margins=(0.0, 0.2930), out=tmp_path / "paper")
    with pytest.raises(CosfaceError, match=r"at most 0\.293 = 1 - cos\(2 pi / 8\), the bound"):
        fig4(config)
    with pytest.raises(CosfaceError, match=r"no such folder of crops"):
        fig4(replace(config, margins=(0.0, 0.2928)))
    assert not config.out.exists()


def test_the_people_with_the_most_crops(tmp_path: Path):
    root, _ = crop_folder_with_pairs(tmp_path)
    crops = crops_of_largest_identities(root, None, 3)
    assert {crop.identity for crop in crops} == {"p0", "p1", "p2"}
    folder = copy_crops(crops, tmp_path / "some")
    taken = open_crops(folder)
    assert [(crop.name, crop.record) for crop in taken] == [(crop.name, crop.record) for crop in crops]
    assert all((folder / crop.name).read_bytes() == crop.path.read_bytes() for crop in crops)
    with pytest.raises(CosfaceError, match="--people is 5, but this folder has 4; lower --people"):
        crops_of_largest_identities(root, None, 5)
    with pytest.raises(CosfaceError, match=r"--people is 2, but this folder has 0; .*/p0/PERSON/photo.jpg"):
        crops_of_largest_identities(root / "p0", "arcface", 2)


def test_as_typed(
    table: TableConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    cost = stage.preflight
    monkeypatch.setattr(stage, "preflight", lambda config, emit: {**cost(config, emit), "seconds": 600.0})
    measured = ["--pairs", str(table.pairs), "--root", str(table.root), "--workers", "1"]
    small = ["--backbone", "tiny", "--epochs", "1", "--batch", "8", "--device", "cpu", "--threads", "1"]
    asked = ["paper", "fig5", str(table.aligned), *measured, *small, "--out", str(tmp_path / "out")]
    assert command_line([*asked, "--margins", "0,0.2", "--seeds", "3", "--dry-run"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["run"] for row in rows] == ["nsl-seed3", "cosface-m0.2-seed3"]
    assert all(row["steps"] == 2 and row["minutes"] == 10 and not row["finished"] for row in rows)
    assert not (tmp_path / "out").exists()

    of_four = ["paper", "fig4", str(table.aligned), "--people", "4", *small, "--out", str(tmp_path / "out")]
    assert command_line([*of_four, "--margins", "0", "--dry-run"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["run"], row["identities"]) for row in rows] == [("fig4-softmax-seed0", 4), ("fig4-nsl-seed0", 4)]
    assert not (tmp_path / "out").exists()

    assert command_line([*asked, "--margins", "0.2", "--seeds", "3"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["m"] == 0.2 and 0 <= row["accuracy"] <= 1 and row["place"] == 1
    assert command_line([*asked, "--margins", "0.2", "--seeds", "3", "--dry-run"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["finished"] and row["minutes"] == 0

    assert command_line(["paper", "fig4", "--margins", "0,0.3"]) == 2
    assert "the bound for 8 identities on a circle (Wang 2018 Eq. 7); got 0.3" in capsys.readouterr().err
    assert command_line(["paper", "fig4", "--margins", "a"]) == 2
    assert capsys.readouterr().err == "cosface: --margins must be a comma-separated list of numbers, got 'a'\n"
    assert command_line(["paper", "table2", str(table.aligned)]) == 2
    assert "Missing option '--pairs'" in capsys.readouterr().err
