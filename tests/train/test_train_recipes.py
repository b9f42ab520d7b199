"""Recipes: what they say, what goes before them, and which is taken."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.sampling import SHUFFLED
from cosface_cli.train.setup.precedence import FALLBACKS, RESETS, with_recipe
from cosface_cli.train.setup.recipes import (
    FIELDS,
    Recipe,
    all_recipes,
    count_crops,
    load_recipe,
    read_recipe,
    recipe_by_size,
)
from cosface_cli.train.setup.settings import StartNetwork, resolve
from tests.conftest import Cosface
from tests.train.conftest import write_crops


def test_the_paper_s_numbers():
    """Wang 2018, section 4.1."""
    casia, large = load_recipe("cosface-casia").values, load_recipe("cosface-large").values
    shared = {"s": 64.0, "m": 0.35, "backbone": "sphere64", "batch": 512, "momentum": 0.9, "weight_decay": 5e-4}
    for values in (casia, large):
        assert {name: values[name] for name in shared} == shared
        assert values["augment"] == () and values["flip"] is True
    assert (casia["lr"], casia["milestones"], casia["steps"]) == (0.1, (16_000, 24_000, 28_000), 30_000)
    assert (large["lr"], large["milestones"], large["steps"]) == (0.05, (80_000, 140_000, 200_000), 240_000)


def test_every_recipe_can_be_run():
    for recipe in all_recipes():
        start = StartNetwork("mobilefacenet", 256, "0" * 64) if "start" in recipe.values else None
        asked = TrainConfig(start="x" if start else None, backbone=None if start else "sphere20")
        settings = resolve(asked, recipe, start)
        assert recipe.summary
        for name in ("lr", "batch", "steps", "weight_decay", "sample_rate"):
            if name in recipe.values:
                assert getattr(settings, name) == recipe.values[name], recipe.name


def test_the_command_line_takes_precedence():
    config = with_recipe(TrainConfig(lr=0.02, augment=(), flip=False), load_recipe("small"))
    assert (config.lr, config.augment, config.flip, config.s, config.clip) == (0.02, (), False, 30.0, 5.0)


def test_fallbacks_and_recipes_leave_nothing_open_that_decides():
    """What stays None has a meaning of its own, told in the docstrings."""
    config = with_recipe(TrainConfig(), load_recipe("small"))
    left = {name for name in FIELDS if getattr(config, name) is None}
    assert left == {
        "start",
        "loss_options",
        "embedding_size",
        "steps",
        "warmup",
        "milestones",
        "keep",
        "images_per_identity",
    }
    assert set(FALLBACKS) <= set(FIELDS) <= {f.name for f in fields(TrainConfig)}


@pytest.mark.parametrize(
    ("asked", "expected"),
    (
        ({"loss": "nsl"}, {"s": 30.0, "m": None}),
        ({"loss": "softmax"}, {"s": None, "m": None}),
        ({"loss": "arcface"}, {"s": 30.0, "m": None}),  # 0.35 is a cosine, arcface's m an angle
        ({"optimizer": "adamw"}, {"lr": 1e-3, "weight_decay": 0.05, "momentum": None, "nesterov": None}),
        ({"optimizer": "adamw", "lr": 2e-3}, {"lr": 2e-3, "weight_decay": 0.05}),
        ({"steps": 500}, {"epochs": None, "steps": 500}),
        ({"schedule": "step", "milestones": (3,)}, {"milestones": (3,), "epochs": 16}),
        ({"milestones": (3,)}, {"schedule": "step"}),
        ({"loss_options": {"m": 0.2}}, {"s": 30.0, "m": None}),
    ),
)
def test_values_that_depend_on_a_replaced_one_are_dropped(asked: dict[str, object], expected: dict[str, object]):
    config = with_recipe(TrainConfig(**asked), load_recipe("small"))
    assert {name: getattr(config, name) for name in expected} == expected


def test_a_change_within_the_recipe_resets_fallbacks_too():
    """AdamW's own rates, not SGD's; and the length in steps, not beside the fallback's epochs."""
    config = with_recipe(TrainConfig(), Recipe("mine", "", {"optimizer": "adamw", "steps": 10}))
    assert (config.lr, config.weight_decay, config.momentum) == (1e-3, 0.05, None)
    assert (config.steps, config.epochs) == (10, None)
    assert set(RESETS) <= set(FIELDS) and {name for names in RESETS.values() for name in names} <= set(FIELDS)


def test_another_sampler_or_start_than_a_recipe_s_can_be_asked_for():
    recipe = Recipe("mine", "", {"sampler": "balanced", "images_per_identity": 8, "embedding_size": 64})
    assert resolve(TrainConfig(sampler="shuffled"), recipe).sampling == SHUFFLED
    assert resolve(TrainConfig(sampler="balanced"), recipe).sampling.images == 8
    assert resolve(TrainConfig(start="run"), recipe, StartNetwork("sphere4", 32, "id")).embedding_size == 32


@pytest.mark.parametrize(
    ("asked", "milestones"),
    (
        ({"steps": 3000}, (1600, 2400, 2800)),
        ({"epochs": 30}, (16, 24, 28)),
        ({"steps": 3000, "milestones": (5,)}, (5,)),
        ({"schedule": "cosine"}, None),
    ),
)
def test_milestones_move_with_the_length(asked: dict[str, object], milestones: tuple[int, ...] | None):
    assert with_recipe(TrainConfig(**asked), load_recipe("cosface-casia")).milestones == milestones


@pytest.mark.parametrize(
    ("text", "words"),
    (
        ("learning-rate = 1.0", "unknown field learning-rate; "),
        ("epoch = 1", "unknown field epoch; did you mean 'epochs'?"),
        ("seed = 1", "unknown field seed"),
        ("report = false", "unknown field report"),
        ("epochs = 'three'", "--epochs must be a whole number, got 'three'"),
        ("epochs = true", "--epochs must be a whole number, got True"),
        ("epochs = 0", "--epochs must be at least 1, got 0"),
        ("loss = 'cosfase'", "--loss 'cosfase' is not known; did you mean 'cosface'?"),
        ("milestones = [1, 'a']", "--milestones takes a comma-separated list of epochs, such as 10,16; got 'a'"),
        ("loss_options = { m1 = 'a' }", "--loss-option must be NAME=NUMBER, such as m1=1.35, got {'m1': 'a'}"),
        ("epochs = ", "not valid TOML"),
    ),
)
def test_files_that_are_not_recipes(tmp_path: Path, text: str, words: str):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(CosfaceError) as caught:
        read_recipe(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_a_recipe_of_one_s_own(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('lr = 1\nloss-options = { m1 = 1 }\naugment = ["grey"]\nmilestones = [1, 2]\nblend = false\n')
    values = {"lr": 1.0, "loss_options": {"m1": 1.0}, "augment": ("grey",), "milestones": (1, 2), "blend": False}
    assert load_recipe(str(path)).values == values
    with pytest.raises(CosfaceError, match="did you mean 'small'"):
        load_recipe("smal")
    with pytest.raises(CosfaceError, match="no such recipe"):
        load_recipe(str(tmp_path / "none.toml"))


def test_the_number_of_crops_chooses(tmp_path: Path):
    assert count_crops(write_crops(tmp_path / "a", people=3, images=2)) == (6, "3 people and 6 crops")
    (tmp_path / "a" / "another").mkdir()
    (tmp_path / "a" / "another" / "0.WEBP").touch()
    assert count_crops(tmp_path / "a") == (7, "4 people and 7 crops")
    assert count_crops(tmp_path / "none")[0] == 0
    packed = tmp_path / "train.rec"
    with packed.open("wb") as handle:
        handle.truncate(8 << 30)  # a hole: no bytes on the disk
    assert count_crops(packed)[0] == 1 << 20
    names = [recipe_by_size(images)[0].name for images in (6, 99_999, 490_000, 5_000_000)]
    assert names == ["small", "small", "cosface-casia", "cosface-large"]


@pytest.mark.slow
def test_recipes_and_losses_are_listed(invoke: Cosface, tmp_path: Path):
    recipes = invoke("train", "--list-recipes", cwd=tmp_path)
    assert recipes.code == 0 and recipes.err == ""
    assert {row["recipe"] for row in recipes.rows} == {recipe.name for recipe in all_recipes()}
    assert next(row for row in recipes.rows if row["recipe"] == "cosface-casia")["milestones"] == [
        16_000,
        24_000,
        28_000,
    ]
    losses = invoke("train", "--list-losses", cwd=tmp_path)
    cosine = next(row for row in losses.rows if row["loss"] == "cosface")
    assert cosine["settings"] == {"s": 64.0, "m": 0.35}
    assert "e^{s (cos_y - m)}" in cosine["equation"] and "1801.09414" in cosine["source"]


@pytest.mark.slow
def test_recipe_below_file_below_environment_below_flag(invoke: Cosface, tmp_path: Path):
    write_crops(tmp_path / "aligned")  # 16 crops
    (tmp_path / "cosface.toml").write_text("[train]\ns = 20.0\nepochs = 5\nbatch = 2\n")
    asked = ("train", "--template", "arcface", "--dry-run", "--device", "cpu", "--threads", "1", "--epochs", "3")
    result = invoke(*asked, cwd=tmp_path, env={"COSFACE_TRAIN_EPOCHS": "4", "COSFACE_TRAIN_BATCH": "8"})
    assert result.code == 0, result
    assert result.rows[0]["steps"] == 16 // 8 * 3
    assert "recipe small, for 4 people and 16 crops: fewer than 100,000" in result.err
    assert "s 20; the least" in result.err and "m 0.35; the most" in result.err
    assert not (tmp_path / "runs").exists()
