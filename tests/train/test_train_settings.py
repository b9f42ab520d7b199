"""What may be asked for, and the learning rate that follows."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.train import TrainConfig
from cosface_cli.train.schedule import Schedule
from cosface_cli.train.settings import default_out, differences, resolve


@pytest.mark.parametrize(
    ("asked", "words"),
    (
        ({"loss": "cosfase"}, "did you mean 'cosface'"),
        ({"backbone": "mobilenet"}, "did you mean 'mobilefacenet'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"template": "arcfac"}, "did you mean 'arcface'"),
        ({"batch": 1}, "--batch 1 leaves batch norm nothing to compare; give 2 or more"),
        ({"epochs": 0}, "--epochs"),
        ({"lr": 0.0}, "--lr"),
        ({"lr": math.nan}, "--lr"),
        ({"clip": -1.0}, "--clip"),
        ({"weight_decay": -1.0}, "--weight-decay"),
        ({"warmup": -1}, "--warmup"),
        ({"s": 0.0}, "--s"),
        ({"m": -0.1}, "--m"),
        ({"m": math.nan}, "--m"),
        ({"seed": -1}, "--seed"),
        ({"threads": 0}, "--threads"),
        ({"min_images": 0}, "--min-images"),
        ({"embedding_size": 1}, "--embedding-size"),
        ({"save_seconds": -1.0}, "--save-every"),
        ({"loss": "nsl", "m": 0.3}, "the loss 'nsl' takes no --m"),
        ({"loss": "softmax", "s": 30.0}, "the loss 'softmax' takes no --s"),
        ({"schedule": "step"}, "--milestones 10,16"),
        ({"schedule": "cosine", "milestones": (1,)}, "has no milestones"),
        ({"milestones": (2, 1)}, "rising epochs"),
        ({"milestones": (0, 1)}, "rising epochs"),
        ({"validate": Path("pairs.txt")}, "go together"),
        ({"validate_root": Path("lfw")}, "go together"),
    ),
)
def test_what_cannot_be_is_refused(asked: dict[str, object], words: str):
    with pytest.raises(CosfaceError) as caught:
        resolve(TrainConfig(**asked))
    assert words in str(caught.value)


def test_defaults_are_the_paper_s():
    settings = resolve(TrainConfig())
    assert dict(settings.head) == {"s": 64.0, "m": 0.35}
    assert (settings.batch, settings.lr, settings.weight_decay) == (64, 0.1, 5e-4)
    assert settings.schedule == "cosine"
    assert resolve(TrainConfig(milestones=(1, 2))).schedule == "step"
    assert resolve(TrainConfig(backbone="sphere20")).embedding_size == 512


@pytest.mark.parametrize(
    ("asked", "name"),
    (
        ({"m": 0.35}, "cosface-mobilefacenet-m0.35-s64"),
        ({"s": 30.0, "backbone": "sphere20"}, "cosface-sphere20-m0.35-s30"),
        ({"loss": "nsl"}, "nsl-mobilefacenet-s64"),
        ({"loss": "softmax"}, "softmax-mobilefacenet"),
    ),
)
def test_the_folder_is_named_after_the_settings(asked: dict[str, object], name: str):
    assert default_out(resolve(TrainConfig(**asked))) == Path("runs") / name


def test_differences_are_said_in_words():
    was, asked = resolve(TrainConfig()).as_json(), resolve(TrainConfig(m=0.5, milestones=(1, 2))).as_json()
    assert differences(was, asked) == {
        "head": "m 0.35 s 64, asked for m 0.5 s 64",
        "schedule": "cosine, asked for step",
        "milestones": "none, asked for 1,2",
    }
    assert differences(was, was) == {}


def test_steps_drop_after_their_epochs():
    schedule = Schedule("step", 0.1, steps_per_epoch=5, epochs=3, milestones=(1, 2))
    rates = [schedule.rate(step) for step in range(15)]
    assert rates == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1] + [0.01] * 5 + [0.001] * 5)


def test_cosine_falls_from_the_peak_to_nothing():
    schedule = Schedule("cosine", 0.1, steps_per_epoch=10, epochs=11)
    assert schedule.rate(9) == schedule.rate(10) == 0.1
    assert schedule.rate(60) == pytest.approx(0.05)
    assert 0 < schedule.rate(109) < 1e-4
    rates = [schedule.rate(step) for step in range(10, 110)]
    assert rates == sorted(rates, reverse=True)


def test_the_rise_is_the_first_epoch_but_not_without_end():
    assert Schedule("cosine", 0.1, 5000, 2).rate(199) == 0.1
    assert Schedule("cosine", 0.1, 5000, 2, warmup=0).rate(0) == 0.1
    assert Schedule("cosine", 0.1, 10, 2, warmup=20).rate(9) == pytest.approx(0.05)


def test_the_rise_does_not_hang_on_the_epochs():
    short, long = Schedule("step", 0.1, 7, 2, milestones=(1,)), Schedule("step", 0.1, 7, 9, milestones=(1,))
    assert [short.rate(step) for step in range(14)] == [long.rate(step) for step in range(14)]
