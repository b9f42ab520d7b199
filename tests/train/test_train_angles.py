"""Angles between embeddings, against those drawn on paper."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from cosface_cli.artifacts.pictures import decode_file
from cosface_cli.backbones.build_backbone import build, declaration
from cosface_cli.backbones.inputs import network_input
from cosface_cli.maths.geometry import template
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.dataset import label
from cosface_cli.train.report import embedding_angles as module
from cosface_cli.train.report.embedding_angles import Angles, measure, of_cosines, sample_crops
from cosface_cli.train.scoring.crop_vectors import evaluating
from cosface_cli.train.setup.settings import resolve
from cosface_cli.train.step.learner import new_learner
from tests.train.conftest import MakeCrops, Pairs


def test_angles_of_known_cosines() -> None:
    found = of_cosines(np.array([1.0 + 1e-9, 0.5, 0.0, -1.0, np.nan]), np.array([True, False, True, False, True]))
    assert found.genuine.tolist() == pytest.approx([0.0, 90.0])
    assert found.impostors.tolist() == pytest.approx([60.0, 180.0])


def test_accepted_at_one_percent() -> None:
    """Of 200 impostors at 51..90 degrees two may pass: those below 52 do, so genuine pairs below 52 are accepted."""
    impostors = np.concatenate([[51.0, 51.5], np.linspace(52, 90, 198)])
    assert Angles(np.array([10.0, 51.9, 52.0, 80.0]), impostors).tar == 0.5
    assert Angles(np.array([10.0]), impostors[:99]).tar is None
    assert Angles(np.zeros(0), impostors).tar is None


def test_sample_crops_are_evenly_of_people_with_two(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.array([0] * 9 + [1] + [2] * 3 + [3] * 9)
    monkeypatch.setattr(module, "_CROPS", 12)
    chosen = sample_crops(labels, 5)
    assert np.unique(chosen).size == len(chosen)
    assert np.bincount(labels[chosen], minlength=4).tolist() == [4, 0, 3, 4]
    assert (sample_crops(labels, 5) == chosen).all() and (sample_crops(labels, 6) != chosen).any()
    assert len(sample_crops(np.arange(5), 0)) == 0


def test_they_are_the_angles_of_the_network_shown(make_crops: MakeCrops, tiny: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_PAIRS", 2)
    settings = resolve(TrainConfig(backbone=tiny))
    data, _ = label(make_crops(), "arcface", template("arcface"), 1, 4, 0)
    learner = new_learner(settings, declaration(tiny), 4, torch.device("cpu"))
    other = build(tiny, settings.embedding_size, seed=9).eval()
    crops = np.stack([decode_file(crop.path) for crop in data.crops])
    same = np.array([True, False] * 4)
    pairs = Pairs(crops, np.arange(8), np.array([1, 8, 3, 12, -1, 9, 5, 13]), same, np.zeros(8, int))
    with evaluating(learner, other):
        found = measure(learner, data, None, pairs, settings.embedding_size)
    assert learner.eval_network is learner.network

    with torch.no_grad():
        vectors = other(torch.from_numpy(network_input(crops, (127.5,) * 3, (128.0,) * 3))).double().numpy()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def angle(left: int, right: int) -> float:
        return float(np.degrees(np.arccos(vectors[left] @ vectors[right])))

    all_pairs = list(combinations(range(16), 2))
    genuine = sorted(angle(*pair) for pair in all_pairs if data.labels[pair[0]] == data.labels[pair[1]])
    impostors = sorted(angle(*pair) for pair in all_pairs if data.labels[pair[0]] != data.labels[pair[1]])
    assert set(found) == {"crops trained on", "validation pairs"}
    assert sorted(found["crops trained on"].genuine) == pytest.approx(genuine, abs=1e-2)
    assert sorted(found["crops trained on"].impostors) == pytest.approx(impostors, abs=1e-2)
    # of three pairs with both crops the first and the last, of four of two people too
    assert found["validation pairs"].genuine == pytest.approx([angle(0, 1), angle(6, 5)], abs=1e-2)
    assert found["validation pairs"].impostors == pytest.approx([angle(1, 8), angle(7, 13)], abs=1e-2)
