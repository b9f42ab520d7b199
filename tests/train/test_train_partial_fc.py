"""Partial FC in one process: which classes a step takes, and what becomes of the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from cosface_cli.artifacts.run.run_record import RunFolder, read_metrics
from cosface_cli.artifacts.run.weights import read_tensors
from cosface_cli.losses.build_loss import build
from cosface_cli.train import TrainConfig
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.heads.partial_fc import PartialFC, sampled_classes
from cosface_cli.train.stage import train
from tests.train.conftest import contents, stop_after, write_crops

C, D, S, M = 9, 4, 16.0, 0.2


@given(st.data(), st.integers(1, 60), st.floats(0.01, 1.0))
def test_those_present_are_always_drawn(data: st.DataObject, identities: int, share: float):
    present = np.array(sorted(data.draw(st.sets(st.integers(0, identities - 1), min_size=1))))
    drawn = sampled_classes(identities, share, present, seed=3, step=4)
    assert len(drawn) == max(len(present), round(share * identities))
    assert (np.diff(drawn) > 0).all() and drawn[0] >= 0 and drawn[-1] < identities
    assert set(present) <= set(drawn)
    assert np.array_equal(drawn, sampled_classes(identities, share, present, seed=3, step=4))


def test_the_others_are_drawn_alike():
    """2 of 18 absent classes in each of 4,500 steps: 500 times each, with a deviation of sqrt(4500 p (1 - p)) = 21."""
    present = np.array([3, 11])
    counts = np.zeros(20)
    for step in range(4500):
        counts[sampled_classes(20, 0.2, present, seed=0, step=step)] += 1
    assert (counts[present] == 4500).all()
    others = np.delete(counts, present)
    assert others.sum() == 9000 and np.abs(others - 500).max() < 5 * 21


def test_by_hand():
    """Four steps beside SGD with Nesterov momentum and decay written out, on the rows of each step alone: a class that
    is not drawn keeps weight and momentum."""
    head = PartialFC(
        lambda count: build("cosface", D, count, {"s": S, "m": M}, 0).double(),
        C,
        Ranks(),
        torch.device("cpu"),
        share=0.5,
        seed=7,
    )
    full = head.loss
    weight = full.weight.detach().clone()  # type: ignore[union-attr]
    momentum = torch.zeros_like(weight)
    optimizer = torch.optim.SGD(head.trained.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01)
    drawn_before: set[int] = set()
    for step in range(4):
        x = torch.randn(3, D, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        labels = torch.tensor([2, 8, 2])
        drawn = sampled_classes(C, 0.5, np.array([2, 8]), seed=7, step=step)
        rows = weight[drawn].requires_grad_()
        place = torch.tensor([drawn.tolist().index(label) for label in labels])
        cosine = F.normalize(x) @ F.normalize(rows).T
        loss = F.cross_entropy(S * (cosine - M * F.one_hot(place, len(drawn))), place)
        (gradient,) = torch.autograd.grad(loss, rows)
        gradient = gradient + 0.01 * weight[drawn]
        momentum[drawn] = 0.9 * momentum[drawn] + gradient
        weight[drawn] -= 0.1 * (gradient + 0.9 * momentum[drawn])

        optimizer.zero_grad(set_to_none=True)
        head.begin_step(optimizer, labels, step)
        answer = head(x, labels)
        answer.loss.backward()
        optimizer.step()
        head.end_step(optimizer)
        torch.testing.assert_close(answer.loss.detach(), loss.detach())
        torch.testing.assert_close(full.weight.detach(), weight)  # type: ignore[union-attr]
        torch.testing.assert_close(head.optimizer_state(optimizer)["weight"]["momentum_buffer"], momentum)
        assert float(answer.right) == float((cosine.argmax(dim=1) == place).sum())
        drawn_before |= set(drawn.tolist())
    assert len(drawn_before) > round(0.5 * C)  # the steps differ


@pytest.fixture
def config(tmp_path: Path, tiny: str, plain: str) -> TrainConfig:
    return TrainConfig(
        aligned=write_crops(tmp_path / "aligned", people=6, images=4), template="arcface", out=tmp_path / "run",
        backbone=tiny, recipe=plain, sample_rate=0.5, batch=5, epochs=3, lr=0.05, threads=1, report=False,
    )  # fmt: skip


@pytest.mark.parametrize("changes", [{}, {"optimizer": "adamw", "lr": 0.001, "loss": "softmax"}], ids=["sgd", "adamw"])
def test_stopped_and_gone_on_with_it_is_the_same_to_the_bit(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
):
    config = replace(config, save_seconds=0.0, **changes)
    train(replace(config, out=config.out.with_name("straight")))  # type: ignore[union-attr]
    for steps in (2, 5):
        with monkeypatch.context() as patch:
            stop_after(patch, steps)
            with pytest.raises(KeyboardInterrupt):
                train(config)
    train(config)
    assert config.out is not None
    assert contents(config.out) == contents(config.out.with_name("straight"))


def test_it_learns_all_classes(config: TrainConfig):
    """Each class is drawn sooner or later: the head tells all six people apart at the end."""
    report = train(replace(config, epochs=10))
    rows = read_metrics(RunFolder(report.out).metrics)
    assert rows[-1]["loss"] < rows[1]["loss"] / 4 and rows[-1]["accuracy"] > 0.9
    whole = train(replace(config, out=report.out.with_name("whole"), sample_rate=1.0, epochs=10))
    sampled, all_of_them = (read_tensors(RunFolder(out).head)["weight"] for out in (report.out, whole.out))
    assert sampled.shape == all_of_them.shape == (6, 32) and not np.array_equal(sampled, all_of_them)
