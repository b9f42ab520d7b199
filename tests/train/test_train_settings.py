"""What may be asked for, and the learning rate that follows."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.train import TrainConfig
from cosface_cli.train.setup.recipes import FIELDS, load_recipe
from cosface_cli.train.setup.settings import Settings, default_out, differences, resolve
from cosface_cli.train.step.schedule import Schedule, schedule_of


@pytest.mark.parametrize(
    ("asked", "words"),
    (
        ({"loss": "cosfase"}, "did you mean 'cosface'"),
        ({"backbone": "mobilenet"}, "did you mean 'mobilefacenet'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"template": "arcfac"}, "did you mean 'arcface'"),
        ({"batch": 1}, "--batch must be at least 2, got 1"),
        ({"epochs": 0}, "--epochs"),
        ({"lr": 0.0}, "--lr"),
        ({"lr": math.nan}, "--lr"),
        ({"clip": -1.0}, "--clip"),
        ({"steps": 0}, "--steps"),
        ({"epochs": 2, "steps": 2}, "--epochs and --steps both set the length; give one"),
        ({"accumulate": 0}, "--accumulate"),
        ({"batch": 8, "accumulate": 5}, "slices of one, too few for batch norm; use at most 4"),
        ({"optimizer": "adam"}, "did you mean 'adamw'"),
        ({"optimizer": "adamw", "momentum": 0.9}, "--optimizer adamw takes no --momentum"),
        ({"optimizer": "adamw", "nesterov": True}, "--optimizer adamw takes no --nesterov"),
        ({"momentum": 1.0}, "--momentum"),
        ({"momentum": 0.0, "nesterov": True}, "--nesterov needs a --momentum"),
        ({"head_lr": 0.0}, "--head-lr"),
        ({"ema": 1.0}, "--ema"),
        ({"precision": "bf15"}, "did you mean 'bf16'"),
        ({"sample_rate": 0.0}, "--sample-rate must be above 0 and at most 1, got 0"),
        ({"sample_rate": 1.5}, "--sample-rate must be above 0 and at most 1, got 1.5"),
        ({"sample_rate": 0.1, "loss": "center"}, "the loss 'center' needs all classes in a step; --sample-rate 1"),
        ({"processes": 0}, "--processes must be at least 1, got 0"),
        ({"freeze": 1.0}, "--freeze"),
        ({"freeze": 0.5}, "--freeze keeps layers of a start; add --start default"),
        ({"hold_out": 1.0}, "--hold-out"),
        ({"blend": True}, "--blend mixes with a start"),
        ({"patience": 2}, "--patience needs a score; add --validate PAIRS or --hold-out 0.1"),
        ({"keep": "best"}, "--keep best needs a score"),
        ({"keep": "first"}, "--keep 'first' is not known; "),
        ({"loss_options": {"mm": 0.3}}, "the loss 'cosface' has no setting 'mm'; did you mean 'm'"),
        ({"loss_options": {"m": 0.3}, "m": 0.2}, "--m and --loss-option m= differ"),
        ({"loss": "softmax", "loss_options": {"s": 1.0}}, "has no setting 's'; it has no settings"),
        ({"weight_decay": -1.0}, "--weight-decay"),
        ({"warmup": -1}, "--warmup"),
        ({"s": 0.0}, "--s"),
        ({"m": -0.1}, "--m"),
        ({"m": math.nan}, "--m"),
        ({"seed": -1}, "--seed"),
        ({"seed": 2**64}, "--seed"),
        ({"threads": 0}, "--threads"),
        ({"min_images": 0}, "--min-images"),
        ({"embedding_size": 1}, "--embedding-size"),
        ({"save_seconds": -1.0}, "--save-every"),
        ({"loss": "nsl", "m": 0.3}, "the loss 'nsl' takes no --m"),
        ({"loss": "softmax", "s": 30.0}, "the loss 'softmax' takes no --s"),
        ({"loss": "triplet", "head_lr": 2.0}, "the loss 'triplet' has no class weights for --head-lr"),
        ({"schedule": "step"}, "--schedule step needs --milestones; the epochs, for example 10,16"),
        ({"schedule": "cosine", "milestones": (1,)}, "has no milestones"),
        ({"milestones": (2, 1)}, "--milestones must be ascending epochs, got 2,1"),
        ({"steps": 9, "milestones": (2, 2)}, "--milestones must be ascending steps, got 2,2"),
        ({"milestones": (0, 1)}, "--milestones must be at least 1, got 0"),
        ({"sampler": "balanced", "images_per_identity": 0}, "--images-per-identity must be at least 1, got 0"),
        ({"loss_options": {"s": math.inf}}, "--loss-option s must be a finite number, got inf"),
        ({"validate": Path("pairs.txt")}, "go together"),
        ({"validate_root": Path("lfw")}, "go together"),
    ),
)
def test_settings_that_cannot_be_are_errors(asked: dict[str, object], words: str):
    with pytest.raises(CosfaceError) as caught:
        resolve(TrainConfig(**asked))
    assert words in str(caught.value)


def test_fallbacks():
    settings = resolve(TrainConfig())
    assert dict(settings.loss_options) == {"s": 64.0, "m": 0.35}
    assert (settings.batch, settings.lr, settings.weight_decay) == (64, 0.1, 5e-4)
    assert (settings.optimizer, settings.momentum, settings.nesterov) == ("sgd", 0.9, True)
    assert settings.schedule == "cosine" and settings.keep == "last"
    assert resolve(TrainConfig(milestones=(1, 2))).schedule == "step"
    assert resolve(TrainConfig(backbone="sphere20")).embedding_size == 512
    assert resolve(TrainConfig(hold_out=0.1)).keep == "best"
    assert resolve(TrainConfig(steps=7)).epochs is None


def test_each_setting_of_a_recipe_decides_the_weights():
    """A setting that is not among those of run.json, under its own name or as part of another, would have no effect."""
    parts = {"s", "m", "sampler", "images_per_identity", "flip"}  # of loss_options, sampling and augment
    assert set(FIELDS) - parts <= {f.name for f in fields(Settings)}


def test_an_option_of_the_loss():
    settings = resolve(TrainConfig(loss="combined", loss_options={"m1": 0.9}, s=32.0))
    assert dict(settings.loss_options) == {"s": 32.0, "m1": 0.9, "m2": 0.3, "m3": 0.2}


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


def rates(**asked: object) -> list[float]:
    """Of the steps of 3 epochs of 5, or as asked."""
    schedule = schedule_of(resolve(TrainConfig(**{"epochs": None if "steps" in asked else 3, **asked})), 5)
    return [schedule.rate(step) for step in range(schedule.steps)]


def test_steps_drop_after_their_epochs():
    risen = [0.02, 0.04, 0.06, 0.08, 0.1]
    assert rates(milestones=(1, 2)) == pytest.approx(risen + [0.01] * 5 + [0.001] * 5)


def test_milestones_are_steps_where_the_length_is():
    assert rates(steps=7, milestones=(2, 4), warmup=0) == pytest.approx([0.1] * 2 + [0.01] * 2 + [0.001] * 3)


def test_the_paper_s_schedule():
    """Wang 2018, section 4.1: 0.1, divided by ten at 16K, 24K, 28K, ended at 30K."""
    schedule = schedule_of(resolve(TrainConfig(backbone="sphere20"), load_recipe("cosface-casia")), 960)
    assert schedule.steps == 30_000
    places = (0, 15_999, 16_000, 23_999, 24_000, 27_999, 28_000, 29_999)
    assert [schedule.rate(step) for step in places] == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3, 1e-4, 1e-4])


def test_cosine_falls_from_the_peak_to_nothing():
    schedule = Schedule("cosine", 0.1, steps=110, warmup=10)
    assert schedule.rate(9) == schedule.rate(10) == 0.1
    assert schedule.rate(60) == pytest.approx(0.05)
    assert 0 < schedule.rate(109) < 1e-4
    fall = [schedule.rate(step) for step in range(10, 110)]
    assert fall == sorted(fall, reverse=True)


def test_poly_and_constant():
    assert rates(schedule="poly", steps=4, warmup=0, lr=1.0) == pytest.approx([1, 9 / 16, 4 / 16, 1 / 16])
    assert rates(schedule="constant", steps=4, warmup=2, lr=1.0) == pytest.approx([0.5, 1, 1, 1])


def test_the_rise_is_the_first_epoch_but_not_without_end():
    assert schedule_of(resolve(TrainConfig(epochs=2)), 5000).warmup == 200
    assert rates(warmup=0)[0] == 0.1
    assert rates(warmup=20, steps=30)[9] == pytest.approx(0.05)


def test_the_rise_does_not_depend_on_the_epochs():
    assert rates(epochs=9, milestones=(1,))[:15] == rates(epochs=3, milestones=(1,))
