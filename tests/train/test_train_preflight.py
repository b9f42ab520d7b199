"""What is known before the first step, against sums done by hand."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cosface_cli.artifacts.run.run_record import read_metrics
from cosface_cli.backbones.build_backbone import declaration
from cosface_cli.errors import CosfaceError
from cosface_cli.losses import LOSSES, build_loss
from cosface_cli.maths.bounds import loss_at_random, loss_at_right_angles
from cosface_cli.outcomes import ignore
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops.dataset import Batch
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.job import training_job
from cosface_cli.train.preflight import footprint
from cosface_cli.train.preflight.checks import check_parts
from cosface_cli.train.preflight.costs import report_costs
from cosface_cli.train.preflight.footprint import Footprint, available_memory, measure
from cosface_cli.train.setup.settings import resolve
from cosface_cli.train.stage import preflight, train
from cosface_cli.train.step.learner import Learner, new_learner
from tests.runs import a_run
from tests.train.conftest import Heard, MakeCrops, contents


def batch_of(count: int) -> Batch:
    images = np.random.default_rng(0).integers(0, 256, (count, 112, 112, 3)).astype(np.uint8)
    return Batch(images, np.arange(count) % 4, ("",) * count)


def learner_of(config: TrainConfig) -> Learner:
    return new_learner(resolve(config), declaration(str(config.backbone)), 4, torch.device("cpu"))


@pytest.mark.parametrize(("s", "identities", "size"), ((30.0, 299, 256), (64.0, 10_575, 512), (64.0, 100, 128)))
def test_the_first_loss_of_random_weights(s: float, identities: int, size: int):
    """Against class weights drawn a hundred times; the last case lies where the largest cosine rules."""
    draw = np.random.default_rng(1)
    cosines = draw.normal(0, size**-0.5, (100, identities))
    cosines[:, 0] -= 0.35
    # the right one's cosine is 0 on average
    expected = float(np.log(np.exp(s * cosines).sum(axis=1)).mean()) + s * 0.35
    assert 0.995 * expected < loss_at_random(identities, size, s, 0.35) < 1.07 * expected
    assert loss_at_right_angles(identities, s, 0.35) < expected


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cosface", {"m": 0.35}),
        ("nsl", {}),
        ("elasticface", {"m": 0.35, "sigma": 0.0}),
        ("arcface", {"m": 0.5}),
        ("combined", {"m1": 1.0, "m2": 0.3, "m3": 0.2}),
        ("combined", {"m1": 3.0, "m2": 0.0, "m3": 0.1}),
        ("combined", {"m1": 4.0, "m2": 0.3, "m3": 0.0}),
    ],
)
def test_a_margin_at_right_angles_is_the_loss_s_own(name: str, values: dict[str, float]):
    head = build_loss.build(name, 6, 5, {"s": 8.0, **values}, seed=0).double()
    with torch.no_grad():
        head.weight.copy_(torch.eye(5, 6))
    found = head(torch.eye(6, dtype=torch.float64)[5:], torch.tensor([1])).item()
    assert found == pytest.approx(
        loss_at_right_angles(5, 8.0, LOSSES.load(name).margin_at_right_angle(**values)), rel=1e-5
    )


def test_the_first_loss_on_a_circle():
    """The nearest of eight directions lies close by, but no cosine is above 1."""
    cosines = np.cos(np.random.default_rng(2).uniform(0, 2 * np.pi, (2000, 8)))
    cosines[:, 0] -= 0.1
    expected = float((np.log(np.exp(30.0 * cosines).sum(axis=1)) - 30.0 * cosines[:, 0]).mean())
    assert expected < loss_at_random(8, 2, 30.0, 0.1) < 1.15 * expected


def test_a_first_loss_needs_two():
    with pytest.raises(ValueError):
        loss_at_random(1, 128, 30.0, 0.35)


class Known(nn.Module):
    """What it keeps for the backward pass can be counted by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 112 * 112, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = torch.sigmoid(self.linear(x.flatten(1)))
        return y


def test_memory_is_what_autograd_keeps(tiny: str, monkeypatch: pytest.MonkeyPatch):
    config = TrainConfig(backbone=tiny, loss="softmax", channels_last=False)
    learner = learner_of(config)
    learner.network = Known()
    learner.compute = learner.network
    cost = measure(learner, resolve(config), batch_of(8))
    pixels, embedding, logits = 3 * 112 * 112, 32, 4
    # the linear layer keeps its input, the sigmoid its output (which the head's product keeps too), the cross entropy
    # its log-probabilities and a label of 8 bytes
    expected = 4 * (pixels + embedding + logits) + 8
    expected += 4 * (pixels + embedding)  # what passes through the linear layer, the widest
    assert cost.per_crop == pytest.approx(expected, abs=64)
    weights = 4 * (32 * pixels + 32)
    assert cost.network >= weights
    assert cost.seconds_per_crop > 0


def test_measuring_leaves_no_trace(tiny: str):
    config = TrainConfig(backbone=tiny, loss="sphereface")
    learner = learner_of(config)
    before = [t.clone() for module in learner.modules.values() for t in module.state_dict().values()]
    measure(learner, resolve(config), batch_of(8))
    after = [t for module in learner.modules.values() for t in module.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.grad is None for p in learner.network.parameters())


def test_the_optimizer_s_memory(tiny: str):
    sizes = {}
    for name in ("sgd", "adamw"):
        config = TrainConfig(backbone=tiny, optimizer=name)
        learner = learner_of(config)
        sizes[name] = measure(learner, resolve(config), batch_of(4)).optimizer
        parameters = sum(p.numel() for module in learner.modules.values() for p in module.parameters())
    assert sizes == {"sgd": 4 * parameters, "adamw": 8 * parameters}


def test_a_share_of_the_classes_costs_all_rows_and_those_of_a_step(tiny: str):
    """Half of four classes: four rows laid by with their momentum, and two with gradient and momentum in a step."""
    config = TrainConfig(backbone=tiny, sample_rate=0.5)
    learner, settings = learner_of(config), resolve(config)
    cost = measure(learner, settings, batch_of(2))
    network = sum(p.numel() for p in learner.network.parameters())
    assert cost.head == 4 * settings.embedding_size * (4 + 2 + 2)
    assert cost.optimizer == 4 * (network + settings.embedding_size * (4 + 2))


def test_a_batch_that_does_not_fit_is_said(heard: Heard):
    cost = Footprint(
        per_crop=1000, network=3000, head=1000, optimizer=2000, average=0, available=21_000, seconds_per_crop=0.5
    )
    assert cost.fixed == 6000 and cost.largest_batch == 10
    row = report_costs(cost, resolve(TrainConfig(batch=64)), 64, 1, 30, heard)
    assert row["seconds"] == 30 * 64 * 0.5 and row["largest_batch"] == 10
    assert "warning: 64 crops at once do not fit: lower --batch, or --accumulate 7" in heard.notes
    report_costs(cost, resolve(TrainConfig(batch=64, accumulate=7)), 64, 1, 30, heard := Heard())
    assert "warning" not in heard.notes


def test_free_memory_is_that_of_the_machine():
    found = available_memory(torch.device("cpu"))
    assert found is not None and 2**20 < found < 2**50


def test_processes_of_a_machine_share_its_memory(tiny: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(footprint, "available_memory", lambda device: 3000)
    config = TrainConfig(backbone=tiny)
    learner = learner_of(config)
    for processes, each in ((1, 3000), (3, 1000)):
        learner.ranks = Ranks(local_world_size=processes)
        assert measure(learner, resolve(config), batch_of(4)).available == each


def test_the_first_loss_is_over_the_classes_of_a_step(make_crops: MakeCrops, tiny: str, plain: str):
    """60 % of five people are three."""
    config = TrainConfig(template="arcface", recipe=plain, backbone=tiny, batch=2)
    five, three = (replace(config, aligned=make_crops(f"{people}", people=people)) for people in (5, 3))
    told = {people: Heard() for people in (3, 5)}
    share, whole = preflight(replace(five, sample_rate=0.6), told[5]), preflight(three, told[3])
    assert share["first_loss"] == whole["first_loss"] < preflight(five)["first_loss"]
    for heard in told.values():
        assert f"{loss_at_right_angles(3, 64.0, 0.35):.1f} at cosines of 0" in heard.notes


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("adaface", ["s 2; the least by Wang 2018 Eq. 6 is 2.867 for 0.9", "warning: s 2 is below 2.867"]),
        ("combined", ["s 2; the least", "m3 0.2; the most by Eq. 7 is 1.25", "warning: s 2"]),
        ("cosface-unnormalised", ["m 0.35; the most by Eq. 7 is 1.25"]),
    ],
)
def test_the_bounds_are_said_for_every_loss_that_has_such_a_setting(
    make_crops: MakeCrops, tiny: str, plain: str, heard: Heard, loss: str, words: list[str]
):
    s = None if loss == "cosface-unnormalised" else 2.0
    aligned = make_crops(people=5)
    preflight(TrainConfig(aligned=aligned, template="arcface", recipe=plain, backbone=tiny, loss=loss, s=s), heard)
    assert all(sentence in heard.notes for sentence in words)


def test_the_classes_of_a_step_s_crops_are_always_among_them(
    make_crops: MakeCrops, tiny: str, plain: str, heard: Heard
):
    """A tenth of five is none, but a batch of all crops has all five."""
    five = TrainConfig(aligned=make_crops(people=5), template="arcface", recipe=plain, backbone=tiny, batch=64)
    assert preflight(replace(five, sample_rate=0.1), heard)["first_loss"] == preflight(five)["first_loss"]
    few = replace(five, aligned=make_crops("twenty", people=20), batch=2, sample_rate=0.25, s=64.0, m=0.35)
    preflight(few, heard)
    assert f"{loss_at_right_angles(5, 64.0, 0.35):.1f} at cosines of 0" in heard.notes.splitlines()[-3]


def test_the_first_loss_of_softmax_is_said_but_not_that_of_a_start(
    make_crops: MakeCrops, tmp_path: Path, tiny: str, plain: str, heard: Heard
):
    config = TrainConfig(aligned=make_crops(), template="arcface", recipe=plain, loss="softmax", batch=8)
    assert preflight(replace(config, backbone=tiny), heard)["first_loss"] == math.log(4)
    assert "expected first loss: 1.4" in heard.notes
    assert preflight(replace(config, start=str(a_run(tmp_path / "run", "mobilefacenet"))))["first_loss"] is None


def test_a_balanced_epoch_leaves_no_crops_out(make_crops: MakeCrops, tiny: str, plain: str, heard: Heard):
    """Four people with one crop each fill a batch of 16 by repeating."""
    config = TrainConfig(aligned=make_crops(images=1), template="arcface", recipe=plain, backbone=tiny, batch=16)
    preflight(replace(config, sampler="balanced"), heard)
    assert "leaves out" not in heard.notes


@pytest.mark.parametrize(
    ("asked", "words"),
    (
        (
            {"warmup": 9},
            "the warm-up of 9 steps (--warmup) is longer than the run's 8 steps: the learning rate never reaches 0.1",
        ),
        ({"milestones": (1, 2, 3)}, "1 of 3 milestones lie beyond the run's 8 steps"),
        ({"warmup": 8, "milestones": (2,)}, None),
    ),
)
def test_rates_that_a_run_is_too_short_for_are_said(
    make_crops: MakeCrops, tiny: str, plain: str, heard: Heard, asked: dict[str, Any], words: str | None
):
    config = TrainConfig(aligned=make_crops(), template="arcface", recipe=plain, backbone=tiny, batch=4, epochs=2)
    preflight(replace(config, **asked), heard)
    assert (words or "") in heard.notes and ("the run's" in heard.notes) == (words is not None)


def test_a_dry_run_writes_nothing(make_crops: MakeCrops, tmp_path: Path, tiny: str, plain: str, heard: Heard):
    aligned = make_crops(people=5, images=4)
    config = TrainConfig(
        aligned=aligned, template="arcface", out=tmp_path / "run", recipe=plain, backbone=tiny, epochs=3, batch=4, s=2.0
    )
    row = preflight(config, heard)
    assert not config.out.exists()
    counts = {
        name: row[name] for name in ("identities", "images", "images_min", "images_median", "images_max", "steps")
    }
    assert counts == {
        "identities": 5, "images": 20, "images_min": 4, "images_median": 4.0, "images_max": 4, "steps": 15,
    }  # fmt: skip
    # Wang 2018 Eq. 6 by hand: 4/5 ln(4 p / (1 - p))
    assert row["s_bound_0.9"] == pytest.approx(0.8 * math.log(36))
    assert row["s_bound_0.99"] == pytest.approx(0.8 * math.log(396))
    assert row["s_bound_0.999"] == pytest.approx(0.8 * math.log(3996))
    assert row["m_bound"] == pytest.approx(5 / 4)
    assert "warning: s 2 is below 2.867, which 5 identities need for a probability of 0.9" in heard.notes
    assert heard.rows == [row]
    train(config)
    first = read_metrics(config.out / "metrics.jsonl")[0]
    assert first["loss"] == pytest.approx(row["first_loss"], abs=0.3)


@pytest.mark.parametrize(
    ("size", "words"), ((2, "the most by Eq. 7 is 0.691"), (3, "the most by Eq. 7 is far below 1.25"))
)
def test_on_a_circle_the_bound_of_m_is_exact(
    make_crops: MakeCrops, tiny: str, plain: str, heard: Heard, size: int, words: str
):
    """1 - cos(72 degrees) for five identities; in three dimensions nobody knows it."""
    config = TrainConfig(aligned=make_crops(people=5), template="arcface", recipe=plain, backbone=tiny, batch=4)
    preflight(replace(config, embedding_size=size, m=0.1), heard)
    assert f"m 0.1; {words}" in heard.notes.splitlines()


def test_a_dry_run_changes_no_bit_of_the_run_after_it(make_crops: MakeCrops, tmp_path: Path, tiny: str, plain: str):
    config = TrainConfig(
        aligned=make_crops(), template="arcface", out=tmp_path / "a", recipe=plain, backbone=tiny, epochs=1, batch=4
    )
    train(config)
    before = contents(config.out)
    preflight(config)
    assert contents(config.out) == before


def test_no_folder_or_an_empty_one(tmp_path: Path, plain: str):
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        with pytest.raises(CosfaceError) as caught:
            preflight(TrainConfig(aligned=tmp_path / name, template="arcface", recipe=plain))
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_slices_of_one_are_refused(make_crops: MakeCrops, tiny: str, plain: str):
    config = TrainConfig(
        aligned=make_crops(people=3, images=1), template="arcface", recipe=plain, backbone=tiny, batch=64, accumulate=2
    )
    with pytest.raises(CosfaceError, match="cuts a step's 3 crops into slices of one"):
        preflight(config)


@pytest.mark.parametrize(
    ("processes", "changes", "words"),
    [
        (3, {"batch": 2}, "3 processes get 0 crops each of a step's 2; raise --batch, or use fewer processes"),
        (3, {"batch": 6, "accumulate": 3}, "3 processes get 0 crops each of a step's 6 in 3 slices;"),
        (2, {"batch": 2, "sync_bn": False}, "get 1 crops each of a step's 2, too few for batch norm;"),
        (5, {"batch": 8}, "5 processes are more than the 4 identities; use at most 4 processes"),
        (2, {"batch": 2}, None),
        (1, {"batch": 2, "sync_bn": False}, None),
    ],
)
def test_too_little_to_share(
    make_crops: MakeCrops, tiny: str, plain: str, processes: int, changes: dict[str, Any], words: str | None
):
    job = training_job(
        TrainConfig(aligned=make_crops(), template="arcface", backbone=tiny, recipe=plain, **changes), ignore
    )
    with pytest.raises(CosfaceError, match=words) if words else nullcontext():
        check_parts(job.settings, job.data, Ranks(0, processes))


def test_a_loss_over_pairs_is_told_of_the_sampler(make_crops: MakeCrops, tiny: str, plain: str, heard: Heard):
    config = TrainConfig(aligned=make_crops(), template="arcface", recipe=plain, backbone=tiny, loss="triplet", batch=8)
    preflight(config, heard)
    assert "triplet compares crops within a batch: --sampler balanced" in heard.notes
