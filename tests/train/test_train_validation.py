"""Pairs scored during training, against the sums done by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cosface_cli.artifacts.run.run_record import read_metrics
from cosface_cli.artifacts.run.weights import read_header
from cosface_cli.backbones.build_backbone import declaration, load, tensors_of
from cosface_cli.backbones.inputs import network_input
from cosface_cli.engines.embedders.trained import open_trained
from cosface_cli.engines.embedders.vectors import unit_embeddings
from cosface_cli.engines.photos.pair_photos import load_pair_crops
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.maths.roc import best_threshold, fold_accuracy
from cosface_cli.train import TrainConfig
from cosface_cli.train.run_folder.checkpoint import load_state
from cosface_cli.train.scoring.validation import pair_scores, validate
from cosface_cli.train.setup.settings import resolve
from cosface_cli.train.stage import train
from cosface_cli.train.step.learner import Learner, new_learner
from tests.train.conftest import Heard, Pairs, contents, crop_folder_with_pairs


@pytest.fixture
def learner(tiny: str) -> Learner:
    made = new_learner(resolve(TrainConfig(backbone=tiny)), declaration(tiny), 4, torch.device("cpu"))
    with torch.no_grad():
        made.network(made.inputs(some_crops(8)))  # batch norm has seen something
    return made


def some_crops(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 112, 112, 3)).astype(np.uint8)


def some_pairs(crops: np.ndarray, right: list[int]) -> Pairs:
    count = len(right)
    same = np.arange(count) % 2 == 0
    return Pairs(crops, np.arange(count), np.array(right), same, np.arange(count) // (count // 2))


def test_scores_are_the_cosines_of_the_saved_weights(learner: Learner, tiny: str):
    pairs = some_pairs(some_crops(20), [5, 6, 7, 8, 9, 19, 0, 1])
    found = pair_scores(learner, 32, pairs)
    assert learner.network.training
    network = load(tiny, 32, tensors_of(learner.network))
    with torch.no_grad():
        x = torch.from_numpy(network_input(pairs.crops, (127.5,) * 3, (128.0,) * 3))
        vectors = network(x).double()
        expected = torch.nn.functional.cosine_similarity(vectors[pairs.left], vectors[pairs.right])
    assert np.abs(found - expected.numpy()).max() < 1e-6


def test_a_pair_without_crop_counts_as_an_error(learner: Learner, heard: Heard):
    crops = some_crops(4)
    crops[2], crops[3] = 255 - crops[0], crops[1]
    # same: 0-0 and 1-3, equal crops; different: 1-2; each fold has one missing
    left, right = np.array([0, 1, -1, 1, 1, 0]), np.array([0, 2, 1, 3, 2, -1])
    same = np.array([True, False, True, True, False, False])
    pairs = Pairs(crops, left, right, same, np.array([1, 1, 1, 2, 2, 2]), ("gone.jpg",))
    result = validate(learner, 32, pairs, heard)
    assert result.accuracy == pytest.approx(2 / 3)
    assert result.error == pytest.approx(0.0)
    low = pair_scores(learner, 32, pairs)[1]
    assert result.threshold == pytest.approx((low + 1) / 2, abs=1e-6)
    assert result.row == {"validation_accuracy": result.accuracy, "validation_error": result.error}
    assert heard.notes == ""


def test_equal_embeddings_are_warned_of(learner: Learner, heard: Heard):
    crops = np.repeat(some_crops(1), 8, axis=0)
    result = validate(learner, 32, some_pairs(crops, [1, 2, 3, 4, 5, 6, 7, 0]), heard)
    assert "all embeddings are equal" in heard.notes
    assert result.accuracy == pytest.approx(0.5, abs=0.01)


def test_a_network_of_no_numbers_has_no_accuracy(learner: Learner, heard: Heard):
    with torch.no_grad():
        learner.network[0].weight.fill_(float("nan"))
    result = validate(learner, 32, some_pairs(some_crops(8), [1, 2, 3, 4, 5, 6, 7, 0]), heard)
    assert result.accuracy is None and result.threshold is None
    assert "no pair has a score" in heard.notes


@pytest.mark.slow
def test_the_score_in_training_is_that_of_the_weights_alone(
    tiny: str, tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COSFACE_CACHE", str(tmp_path / "cache"))
    root, pairs_file = crop_folder_with_pairs(tmp_path)
    config = TrainConfig(
        aligned=root,
        out=tmp_path / "run",
        backbone=tiny,
        epochs=3,
        batch=4,
        threads=1,
        device="cpu",
        validate=pairs_file,
        validate_root=root,
        keep="last",
        report=False,
    )
    report = train(config, heard)
    rows = read_metrics(tmp_path / "run" / "metrics.jsonl")
    assert [row["validation_accuracy"] is not None for row in rows] == [True] * 4
    assert f"{pairs_file}: 16 pairs" in heard.notes

    # the weights, opened as embed and verify open them
    embedder = open_trained(report.weights)
    pairs = load_pair_crops(pairs_file, root, template(embedder.template), heard)
    vectors = unit_embeddings(embedder, pairs.crops).astype(np.float64)
    alone = (vectors[pairs.left] * vectors[pairs.right]).sum(axis=1)
    learner = new_learner(resolve(config), declaration(tiny), 4, torch.device("cpu"))
    load_state(tmp_path / "run" / "state" / "training.safetensors", learner)
    assert np.abs(pair_scores(learner, 32, pairs) - alone).max() < 1e-6
    assert fold_accuracy(alone, pairs.same, pairs.fold).mean == pytest.approx(rows[-1]["validation_accuracy"], abs=1e-6)
    assert read_header(report.weights).threshold == pytest.approx(best_threshold(alone, pairs.same), abs=1e-6)

    before = contents(tmp_path / "run")
    with pytest.raises(CosfaceError, match=r"this folder has another run \(validate: .*pairs\.txt, asked for none"):
        train(replace(config, validate=None, validate_root=None))
    assert contents(tmp_path / "run") == before


@pytest.mark.slow
def test_pairs_without_a_photo_are_said(tiny: str, tmp_path: Path, heard: Heard):
    root, pairs_file = crop_folder_with_pairs(tmp_path)
    pairs_file.write_text(pairs_file.read_text().replace("p0\t1\t3", "p0\t1\t9"))
    config = TrainConfig(
        aligned=root, out=tmp_path / "run", backbone=tiny, epochs=1, batch=4, validate=pairs_file, validate_root=root
    )
    train(config, heard)
    assert "16 pairs, of which 1 lack a crop and count as errors" in heard.notes
    one_fold = tmp_path / "one.txt"
    one_fold.write_text("1\t1\np0\t1\t2\np0\t1\tp1\t1\n")
    with pytest.raises(CosfaceError, match="all pairs are in one fold"):
        train(replace(config, validate=one_fold, out=tmp_path / "other"))
