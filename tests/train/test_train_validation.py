"""Pairs scored during training, against the sums done by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from conftest import Heard

from cosface_cli.backbones.inputs import network_input
from cosface_cli.backbones.loading import declaration, load, tensors_of
from cosface_cli.train import TrainConfig
from cosface_cli.train.learner import Learner, new_learner
from cosface_cli.train.settings import resolve
from cosface_cli.train.validation import pair_scores, validate


@dataclass(frozen=True)
class Pairs:
    """As the loader of pairs gives them."""

    crops: np.ndarray
    left: np.ndarray
    right: np.ndarray
    same: np.ndarray
    fold: np.ndarray
    missing: tuple[str, ...] = ()


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
