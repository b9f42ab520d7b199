"""Fine-tuning: people held out, blends with the start, and what is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cosface_cli.artifacts.run.run_record import read_metrics
from cosface_cli.artifacts.run.weights import read_header, read_tensors, save_weights
from cosface_cli.backbones.build_backbone import declaration, load, tensors_of
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.train import TrainConfig, TrainReport
from cosface_cli.train.crops.dataset import LabelledCrops, label
from cosface_cli.train.scoring import blending, judge
from cosface_cli.train.scoring.blending import blended
from cosface_cli.train.scoring.hold_out import HeldOut, HeldOutScore, score, split
from cosface_cli.train.setup.settings import resolve
from cosface_cli.train.stage import train
from cosface_cli.train.step.class_centres import begin_at_centres
from cosface_cli.train.step.learner import new_learner
from tests.train.conftest import Heard, MakeCrops, contents, stop_after, write_crops

ARCFACE = template("arcface")


def people(root: Path, count: int, images: int = 4) -> LabelledCrops:
    return label(write_crops(root, people=count, images=images), "arcface", ARCFACE, 1, 4, 0)[0]


@pytest.fixture
def begun(make_crops: MakeCrops, tmp_path: Path, tiny: str, plain: str) -> TrainReport:
    """A network that was trained on others, under a licence."""
    config = TrainConfig(
        aligned=make_crops("others", people=5, images=4, seed=9),
        template="arcface",
        out=tmp_path / "begun",
        recipe=plain,
        backbone=tiny,
        epochs=4,
        batch=10,
        threads=1,
        device="cpu",
        report=False,
    )
    report = train(config)
    save_weights(report.weights, read_tensors(report.weights), replace(read_header(report.weights), licence="CC0-1.0"))
    return report


@pytest.fixture
def config(begun: TrainReport, make_crops: MakeCrops, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        aligned=make_crops(people=10, images=5),
        template="arcface",
        out=tmp_path / "run",
        recipe="finetune",
        start=str(begun.out),
        epochs=3,
        batch=10,
        lr=0.01,
        hold_out=0.4,
        threads=1,
        device="cpu",
        report=False,
    )


def test_who_is_held_out_hangs_on_the_names_alone(tmp_path: Path):
    data = people(tmp_path / "a", 10)
    stay, held = split(data, 0.3)
    assert held.people == 3 and len(stay.identities) == 7 and len(held.crops) == 12
    names = {crop.name.split("/")[0] for crop in held.crops}
    assert names.isdisjoint(stay.identities) and names | set(stay.identities) == set(data.identities)
    # the labels of those who stay are still those of their crops
    assert all(
        stay.identities[place] == crop.name.split("/")[0] for place, crop in zip(stay.labels, stay.crops, strict=True)
    )
    _, again = split(replace(data, seed=7, batch=2), 0.3)
    assert [crop.name for crop in again.crops] == [crop.name for crop in held.crops]


def test_too_few_to_hold_out(tmp_path: Path):
    with pytest.raises(CosfaceError, match="3 identities are too few to hold 2 of them out; --hold-out 0"):
        split(people(tmp_path / "a", 3), 0.1)
    with pytest.raises(CosfaceError, match=r"0 pairs of one person and 3 of two: too few to score"):
        split(people(tmp_path / "b", 8, images=1), 0.4)


def test_the_score_by_hand(tmp_path: Path):
    """Six people with four crops: 36 genuine and 240 impostor pairs. FAR 0.1 allows 24 of these."""
    data = people(tmp_path / "a", 6)
    held = HeldOut(tuple(data.crops), data.labels, ARCFACE)
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(6, 8))[data.labels] + draw.normal(size=(24, 8))
    given = iter([vectors])
    found = score(lambda images: next(given).astype(np.float32), held)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [(a, b) for a in range(24) for b in range(a)]
    genuine = [unit[a] @ unit[b] for a, b in pairs if data.labels[a] == data.labels[b]]
    impostors = sorted((unit[a] @ unit[b] for a, b in pairs if data.labels[a] != data.labels[b]), reverse=True)
    assert (len(genuine), len(impostors)) == (36, 240)
    tar = sum(value > impostors[24] for value in genuine) / 36
    assert 0 < tar < 1
    assert found.tar == {0.1: pytest.approx(tar)}
    assert found.row == {"hold_out_tar_at_0.1": found.score, "hold_out_score": found.score}


def test_a_blend_lies_between(tiny: str):
    a, b = (tensors_of(new_learner_of(tiny, seed).network) for seed in (0, 1))
    network = load(tiny, 32, b)
    quarter = tensors_of(blended(network, a, 0.25))
    assert all(np.allclose(quarter[name], 0.75 * a[name] + 0.25 * b[name]) for name in a)
    whole = tensors_of(blended(network, a, 1.0))
    assert all(np.array_equal(whole[name], b[name]) for name in b)
    assert all(np.array_equal(tensors_of(network)[name], b[name]) for name in b)


def new_learner_of(backbone: str, seed: int = 0, identities: int = 4):
    settings = resolve(TrainConfig(backbone=backbone, seed=seed))
    return new_learner(settings, declaration(backbone), identities, torch.device("cpu"))


def test_class_weights_begin_at_the_means(tmp_path: Path, tiny: str):
    data = people(tmp_path / "a", 4, images=3)
    learner = new_learner_of(tiny)
    assert begin_at_centres(learner, data)
    images = np.stack([crop_pixels(data, index) for index in range(3)])  # the first person's
    vectors = learner.embed(images).astype(np.float64)
    mean = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).sum(axis=0)
    assert np.allclose(learner.head.loss.weight[0].detach().numpy(), mean / np.linalg.norm(mean), atol=1e-5)


def crop_pixels(data: LabelledCrops, index: int) -> np.ndarray:
    from cosface_cli.train.crops.dataset import read_crop

    return read_crop(data.crops[index])


def test_tuning_is_never_worse_on_people_held_out(config: TrainConfig, begun: TrainReport, heard: Heard):
    report = train(config, heard)
    rows = read_metrics(config.out / "metrics.jsonl")
    scores = [row["hold_out_score"] for row in rows]
    assert len(scores) == 4 and all(0 <= value <= 1 for value in scores)
    assert all(row["blend"] in blending.SHARES for row in rows[1:])
    assert report.best_epoch == scores.index(max(scores)) == train(config).best_epoch
    assert f"kept: the weights of epoch {report.best_epoch}" in heard.notes or report.best_epoch == 0
    assert "held out: 4 identities, scored by all pairs of 20" in heard.notes

    # the weights that are kept have the score of their row
    header, tensors = read_header(report.weights), read_tensors(report.weights)
    network = load(header.backbone, header.embedding_size, tensors)
    data, _ = label(config.aligned, "arcface", ARCFACE, 2, 10, 0)
    _, held = split(data, 0.4)
    learner = new_learner_of("tiny")
    learner.eval_network = network
    assert score(learner.embed, held).score == pytest.approx(max(scores), abs=1e-9)
    assert header.lineage == (begun.model_id,) and header.identities == 6
    last = read_header(config.out / "last.safetensors")
    assert last.lineage == (begun.model_id,) and last.licence == header.licence == "CC0-1.0"


def test_where_nothing_is_gained_the_start_is_kept(
    config: TrainConfig, begun: TrainReport, heard: Heard, monkeypatch: pytest.MonkeyPatch
):
    """A score that falls with every look."""
    falling = iter(np.linspace(0.9, 0.1, 50))
    lower = lambda embed, held: HeldOutScore({0.1: float(next(falling))})  # noqa: E731
    monkeypatch.setattr(judge, "score", lower)
    monkeypatch.setattr(blending, "score", lower)
    report = train(replace(config, patience=2), heard)
    assert report.best_epoch == 0 and report.model_id == begun.model_id
    assert "the start's weights are kept" in heard.notes
    assert "no better score for 2 epochs (--patience): stopped" in heard.notes
    assert [row["epoch"] for row in read_metrics(config.out / "metrics.jsonl")] == [0, 1, 2]
    again = Heard()
    train(replace(config, patience=2, epochs=9, resume=True), again)
    assert "no better score for 2 epochs (--patience): stopped" in again.notes and not again.rows
    before, after = read_tensors(begun.weights), read_tensors(report.weights)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    monkeypatch.undo()


def test_what_is_frozen_stays(config: TrainConfig, begun: TrainReport):
    report = train(replace(config, freeze=0.5, blend=False, keep="last"))
    before, after = read_tensors(begun.weights), read_tensors(report.weights)
    assert np.array_equal(before["0.weight"], after["0.weight"])
    assert np.array_equal(before["1.running_mean"], after["1.running_mean"])
    assert not np.array_equal(before["5.weight"], after["5.weight"])


def test_it_goes_on_to_the_bit(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):

    config = replace(config, save_seconds=0.0, ema=0.9)
    straight = replace(config, out=tmp_path / "straight")
    train(straight)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 4)
        train(config)
    train(config)
    assert contents(config.out) == contents(straight.out)


def test_a_start_that_does_not_go_together(config: TrainConfig, begun: TrainReport):
    with pytest.raises(CosfaceError, match=r"is a tiny of 32 dimensions; leave out --backbone"):
        train(replace(config, backbone="mobilefacenet"))
    with pytest.raises(CosfaceError, match="no weights to begin with are called 'defolt'"):
        train(replace(config, start="defolt"))
    train(config)
    other = train(replace(config, out=config.out.parent / "other", keep="last", blend=False))
    with pytest.raises(CosfaceError, match=r"this folder has another run \(start: "):
        train(replace(config, start=str(other.out)))


def test_a_start_brings_its_recipe(config: TrainConfig, heard: Heard):
    train(replace(config, recipe=None, epochs=1), heard)
    assert "recipe finetune, for --start" in heard.notes
