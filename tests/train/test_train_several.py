"""Trainings that two or three processes share: the same as in one, and gone on with in any number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosface_cli.artifacts.run.run_record import RunFolder, read_metrics, read_record
from cosface_cli.artifacts.run.weights import read_tensors
from cosface_cli.outcomes import ignore
from cosface_cli.train import TrainConfig
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.distributed.launch import run_in_processes
from cosface_cli.train.job import learner_of, training_job
from tests.train.conftest import contents, write_crops
from tests.train.ranked import Changes, Runs, once
from tests.train.tiny import added_backbones

pytestmark = pytest.mark.slow

CLOSE = 1e-5
FIFTY: dict[str, Changes] = {  # epochs of one step, so that each row is a step's
    "without batch norm": {},
    "with batch norm": {"backbone": "tiny"},
}
WAYS: dict[str, Changes] = {
    "slices": {"backbone": "tiny", "accumulate": 2},
    "whole head": {"backbone": "tiny", "loss": "center", "s": None, "m": None},
    "pairs": {"loss": "triplet", "s": None, "m": None, "sampler": "balanced", "images_per_identity": 2, "batch": 8},
    "from a start": {
        "backbone": None,
        "start": "slices in 1",
        "hold_out": 0.6,
        "blend": True,
        "batch": 7,
        "aligned": "many",
    },
    "fp16": {"precision": "fp16"},
}
CLOSE_IN_HALF = 5e-3  # 11 bits for each number on the way
GOING_ON: dict[str, Changes] = {
    "sgd": {"batch": 5, "sample_rate": 0.6, "loss": "curricularface", "backbone": "tiny"},
    "adamw": {"batch": 5, "optimizer": "adamw", "lr": 1e-3, "ema": 0.9, "backbone": "tiny"},
}
BEGUN, ENDED = 3, 6  # epochs


def base(root: Path) -> TrainConfig:
    recipe = root / "plain.toml"
    recipe.write_text("clip = 5.0\n")
    return TrainConfig(
        aligned=write_crops(root / "aligned", people=5, images=2), template="arcface", recipe=str(recipe),
        backbone="plain", s=16.0, batch=9, epochs=3, lr=0.05, schedule="constant", device="cpu", threads=1,
        report=False,
    )  # fmt: skip


def runs(root: Path, processes: int, ways: dict[str, Changes]) -> list[Changes]:
    """What is trained in so many processes from the beginning."""
    found = []
    for name, changes in ways.items():
        start = {"start": str(root / changes["start"] / "weights.safetensors")} if "start" in changes else {}
        start |= {"aligned": root / changes["aligned"]} if "aligned" in changes else {}
        epochs = {"epochs": 50 if name in FIFTY else ENDED if name in GOING_ON else 3}
        found.append({**changes, **start, **epochs, "out": root / f"{name} in {processes}"})
    return found


def going_on(root: Path, began: int, ends: int, now: int) -> list[Changes]:
    """The runs that began in some processes and end in some, as they are asked for in `now`."""
    return [
        {**changes, "epochs": BEGUN if now == began and epochs == BEGUN else ENDED, "resume": epochs == ENDED,
         "out": root / f"{name} from {began} to {ends}"}
        for name, changes in GOING_ON.items()
        for epochs in ([BEGUN] if now == began else []) + ([ENDED] if now == ends else [])
    ]  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A folder with all the runs."""
    folder: Path = once("several", train_all, tmp_path_factory, worker_id)
    return folder


@added_backbones("tiny", "plain")
def train_all(root: Path) -> Path:
    config = base(root)
    write_crops(root / "many", people=15, images=3)
    threads = torch.get_num_threads()

    def trained(processes: int, found: list[Changes]) -> None:
        run_in_processes(Runs(found), replace(config, processes=processes), ignore)

    every = {**FIFTY, **WAYS, **GOING_ON}
    trained(1, runs(root, 1, every) + going_on(root, 1, 2, 1))
    two = [*runs(root, 2, every), {**WAYS["slices"], "sync_bn": False, "accumulate": 1, "out": root / "local in 2"}]
    for began, ends in ((1, 2), (2, 2), (2, 1), (2, 3)):
        two += going_on(root, began, ends, 2)
    trained(2, two)
    trained(1, going_on(root, 2, 1, 1))
    trained(3, going_on(root, 2, 3, 3) + runs(root, 3, GOING_ON) + going_on(root, 3, 3, 3))
    torch.set_num_threads(threads)
    return root


def column(folder: Path, name: str) -> np.ndarray:
    return np.array([row[name] for row in read_metrics(RunFolder(folder).metrics)], float)


@pytest.mark.parametrize("name", FIFTY)
def test_two_equal_one_over_fifty_steps(done: Path, name: str):
    one, two = (column(done / f"{name} in {count}", "loss") for count in (1, 2))
    assert len(one) == 51 and one[1] > 100 * one[-1]  # it has learned
    np.testing.assert_allclose(two, one, rtol=0, atol=CLOSE)
    for column_name in ("accuracy", "target_cosine"):
        ours, theirs = (column(done / f"{name} in {count}", column_name) for count in (2, 1))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    for file in ("weights.safetensors", "head.safetensors"):
        whole, shared = (read_tensors(done / f"{name} in {count}" / file) for count in (1, 2))
        assert list(whole) == list(shared)
        for key, value in whole.items():
            np.testing.assert_allclose(shared[key], value, rtol=1e-3, atol=1e-4, err_msg=f"{file} {key}")


@pytest.mark.parametrize("name", [*WAYS, *GOING_ON])
def test_two_equal_one_in_every_way(done: Path, name: str):
    one, two = (read_metrics(RunFolder(done / f"{name} in {count}").metrics) for count in (1, 2))
    close = CLOSE_IN_HALF if name == "fp16" else 5 * CLOSE
    assert len(one) == len(two) == 1 + (ENDED if name in GOING_ON else 3)
    for theirs, ours in zip(one, two, strict=True):
        assert numbers(ours) == pytest.approx(numbers(theirs), rel=0, abs=close)


def numbers(row: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in row.items() if value is not None}


def test_files_of_one_run_in_two(done: Path):
    """All that a run leaves is there, and says how many did it."""
    one, two = (contents(done / f"with batch norm in {count}") for count in (1, 2))
    assert set(one) == set(two)
    record = read_record(RunFolder(done / "with batch norm in 2").record)
    assert record is not None and record.finished and record.machine["processes"] == 2


@pytest.mark.parametrize("name", GOING_ON)
@pytest.mark.parametrize(("began", "ends"), [(1, 2), (2, 1), (2, 3)])
def test_gone_on_with_in_another_number(done: Path, name: str, began: int, ends: int):
    straight = column(done / f"{name} in 1", "loss")
    np.testing.assert_allclose(column(done / f"{name} from {began} to {ends}", "loss"), straight, rtol=0, atol=CLOSE)
    record = read_record(RunFolder(done / f"{name} from {began} to {ends}").record)
    assert record is not None and record.finished and record.machine["processes"] == ends


@pytest.mark.parametrize("count", [2, 3])  # of two the order of a sum is no matter
@pytest.mark.parametrize("name", GOING_ON)
def test_gone_on_with_in_as_many_is_the_same_to_the_bit(done: Path, name: str, count: int):
    assert contents(done / f"{name} from {count} to {count}") == contents(done / f"{name} in {count}")


def test_batch_norm_of_each_process_by_itself(done: Path):
    """--no-sync-bn: the loss before training is that of two parts which are normalised apart."""
    with added_backbones("tiny", "plain"), torch.no_grad():
        changes = {**WAYS["slices"], "accumulate": 1}
        job = training_job(replace(base(done), **changes), ignore)
        learner = learner_of(job)
        batch = next(job.data.batches(1))
        parts = [Ranks(rank, 2).local_slices(9, 1)[0] for rank in range(2)]
        vectors = torch.cat([learner.forward(batch.images[part]) for part in parts])
        apart = float(learner.head(vectors, torch.from_numpy(batch.labels)).loss)
        together = float(learner.head(learner.forward(batch.images), torch.from_numpy(batch.labels)).loss)
    assert column(done / "local in 2", "loss")[0] == pytest.approx(apart, abs=CLOSE)
    assert abs(apart - together) > 100 * CLOSE
