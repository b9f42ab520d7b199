"""Ways to train: accumulated, averaged, in half precision, by AdamW; each learns, and goes on to the bit."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cosface_cli.artifacts.run.run_record import RunFolder, read_metrics
from cosface_cli.artifacts.run.weights import read_metadata, read_tensors
from cosface_cli.errors import CosfaceError
from cosface_cli.train import TrainConfig
from cosface_cli.train.run_folder.stopped import write_stopped
from cosface_cli.train.setup.settings import resolve
from cosface_cli.train.stage import train
from cosface_cli.train.step.ema import WeightAverage
from cosface_cli.train.step.freezing import freeze
from cosface_cli.train.step.loop import NotFinite, TrainState
from tests.train.conftest import MakeCrops, contents, stop_after
from tests.train.tiny import added_backbones

WAYS = {
    "accumulate": {"accumulate": 2},
    "ema": {"ema": 0.9},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "adamw": {"optimizer": "adamw", "ema": 0.99, "accumulate": 2},
    "plain momentum": {"nesterov": False, "clip": 0.0, "schedule": "poly", "channels_last": False},
    "lambda": {"loss": "sphereface", "loss_options": {"gamma": 0.5}},
    "drawn margins": {"loss": "elasticface"},
    "running mean": {"loss": "curricularface", "ema": 0.9},
    "held out": {"hold_out": 0.4, "patience": 3},
}


@pytest.fixture
def config(make_crops: MakeCrops, tmp_path: Path, tiny: str, plain: str) -> TrainConfig:
    return TrainConfig(
        aligned=make_crops(people=6, images=6),
        template="arcface",
        out=tmp_path / "run",
        recipe=plain,
        backbone=tiny,
        steps=7,  # 2 epochs or 4 and a part of one
        batch=8,
        threads=1,
        device="cpu",
        save_seconds=0.0,
        report=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_stopped_within_an_epoch_it_ends_the_same(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
):
    config = replace(config, **WAYS[way])
    straight = replace(config, out=tmp_path / "straight")
    report = train(straight)
    assert report.last["step"] == 7
    for steps in (2, 3):  # stopped after the second, and again three further on
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_after(patch, steps if steps == 2 else steps - 1)
            train(config)
    assert train(config).resumed_from
    assert contents(config.out) == contents(straight.out)


@pytest.mark.slow
@pytest.mark.parametrize("way", ("accumulate", "ema", "bf16", "fp16", "adamw"))
def test_it_learns(config: TrainConfig, way: str):
    train(replace(config, steps=80, warmup=5, **WAYS[way]))
    rows = read_metrics(config.out / "metrics.jsonl")
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert rows[-1]["accuracy"] > 0.9


def test_a_part_of_an_epoch_is_its_last_row(config: TrainConfig):
    """36 crops make 4 steps an epoch."""
    train(config)
    assert [(row["epoch"], row["step"]) for row in read_metrics(config.out / "metrics.jsonl")] == [
        (0, 0),
        (1, 4),
        (2, 7),
    ]
    longer = replace(config, steps=9, schedule="constant", resume=True)
    with pytest.raises(CosfaceError, match="schedule: cosine, asked for constant"):
        train(longer)


def test_more_steps_are_as_if_never_stopped(config: TrainConfig, tmp_path: Path):
    config = replace(config, schedule="constant")
    train(config)
    with pytest.raises(CosfaceError, match=r"of other steps \(7, asked for 9\); add --resume"):
        train(replace(config, steps=9))
    train(replace(config, steps=9, resume=True))
    straight = replace(config, steps=9, out=tmp_path / "straight")
    train(straight)
    assert contents(config.out) == contents(straight.out)


def test_slices_have_the_gradient_of_the_whole(config: TrainConfig, tmp_path: Path):
    """Without batch norm, whose statistics are each slice's own."""
    with added_backbones("plain"):
        config = replace(config, backbone="plain", batch=9)
        whole = train(config)
        sliced = train(replace(config, accumulate=4, out=tmp_path / "sliced"))
    assert sliced.last["loss"] == pytest.approx(whole.last["loss"], abs=1e-4)
    a, b = (read_tensors(report.weights) for report in (whole, sliced))
    assert max(np.abs(a[name] - b[name]).max() for name in a) < 1e-4


def test_an_average_by_hand():
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1))
    with torch.no_grad():
        network[0].weight.fill_(0.0)
    average = WeightAverage(network, 0.5)
    values = []
    for step, weight in enumerate((1.0, 3.0, 5.0), start=1):
        with torch.no_grad():
            network[0].weight.fill_(weight)
            network[1].num_batches_tracked += 1
        average.update(network, step)
        values.append(float(average.network[0].weight))
    # decays 2/11, 3/12, then 4/13: all below 0.5
    first = 9 / 11 * 1.0
    second = 3 / 12 * first + 9 / 12 * 3.0
    assert values == pytest.approx([first, second, 4 / 13 * second + 9 / 13 * 5.0])
    assert int(average.network[1].num_batches_tracked) == 3


def test_the_average_is_what_is_saved(config: TrainConfig):
    train(replace(config, ema=0.99))
    state = read_tensors(config.out / "state" / "training.safetensors")
    saved = read_tensors(config.out / "weights.safetensors")
    assert all(np.array_equal(saved[name], state[f"average/{name}"]) for name in saved)
    assert any(not np.array_equal(saved[name], state[f"network/{name}"]) for name in saved)


def test_half_precision_keeps_its_weights_whole(config: TrainConfig):
    train(replace(config, precision="fp16"))
    state = config.out / "state" / "training.safetensors"
    assert all(tensor.dtype in (np.float32, np.int64) for tensor in read_tensors(state).values())
    assert json.loads(read_metadata(state)["cosface-state"])["scaler"]["scale"] > 1


def test_a_network_is_frozen_from_its_input_on():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 2)
    )
    frozen = freeze(network, 0.34)  # one of three
    assert frozen == tuple(network[:3])
    assert [p.requires_grad for p in network.parameters()] == [False] * 5 + [True] * 4
    assert freeze(nn.Sequential(nn.Linear(2, 2)), 0.9) == ()


@pytest.mark.parametrize(
    ("where", "precision", "words"),
    (
        ("weights", "fp32", "the weights diverged: lower --lr"),
        ("loss", "fp32", "lower --s or --m"),
        ("gradient", "fp32", "lower --lr or --s"),
        ("embeddings", "fp16", "--precision bf16 or fp32"),
        ("embeddings", "bf16", "a longer --warmup"),
    ),
)
def test_the_likely_cause_is_said(tmp_path: Path, where: str, precision: str, words: str):
    (tmp_path / "run").mkdir()
    error = NotFinite(TrainState(epoch=3, step=9), 0.1, math.nan, math.inf, where, ("a.jpg",))
    line = str(write_stopped(RunFolder(tmp_path / "run"), error, resolve(TrainConfig(precision=precision)), None))
    assert words in line and "the weights of epoch 2 are kept" in line
    assert json.loads((tmp_path / "run" / "stopped.json").read_text())["where"] == where


def test_a_loss_that_is_no_number_names_itself(config: TrainConfig):
    with pytest.raises(CosfaceError, match=r"loss (inf|nan).*likely the loss's own settings: lower --s or --m"):
        train(replace(config, s=1e39))


@pytest.mark.parametrize("name", ("PATH", "CXX"))
def test_without_a_compiler_that_is_said(config: TrainConfig, monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv(name, "/nowhere")
    with pytest.raises(
        CosfaceError, match=r"--compile needs a C\+\+ compiler, and there is no '.+'; leave out --compile"
    ):
        train(replace(config, compile=True))
