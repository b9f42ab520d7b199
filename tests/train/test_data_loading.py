"""Who reads the crops changes nothing but the time; and what is waited for is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.maths.geometry import template
from cosface_cli.train import TrainConfig
from cosface_cli.train.crops import AUGMENTATIONS
from cosface_cli.train.crops.augment import augmentation
from cosface_cli.train.crops.dataset import Batch, label
from cosface_cli.train.crops.loader import Loader
from cosface_cli.train.crops.sampling import Sampling
from cosface_cli.train.stage import train
from tests.train.conftest import Heard, MakeCrops, write_crops

EVERYTHING = augmentation(True, AUGMENTATIONS.names)


@dataclass(frozen=True)
class Slow:
    seconds: float

    def open(self) -> Callable[[int], int]:
        def work(task: int) -> int:
            time.sleep(self.seconds)
            return task * task

        return work


def same(batches: Iterator[Batch], others: Iterator[Batch]) -> int:
    count = 0
    for a, b in zip(batches, others, strict=True):
        assert np.array_equal(a.images, b.images)
        assert a.labels.tolist() == b.labels.tolist() and a.names == b.names
        count += 1
    return count


@pytest.mark.slow
def test_batches_are_the_same_from_a_thread_and_from_processes(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=5, images=30)
    data, _ = label(root, "arcface", template("arcface"), 1, 70, 0, Sampling("balanced", 14), EVERYTHING)
    assert data.steps == 2 and data.batch_size == 70  # three pieces, of unequal length
    processes = replace(data, loader=Loader(2))
    try:
        assert same(data.batches(1), processes.batches(1)) == 2
        pool = processes.loader._pool
        first = next(processes.batches(2))  # an epoch that is left in its middle
        assert np.array_equal(first.images, next(data.batches(2)).images)
        assert same(data.batches(2, begin=1), processes.batches(2, begin=1)) == 1
        assert processes.loader._pool is pool  # they stay from epoch to epoch
        again, _ = label(root, "arcface", template("arcface"), 1, 70, 0, Sampling("balanced", 14), EVERYTHING)
        assert same(again.batches(3), processes.batches(3)) == 2
    finally:
        processes.loader.close()


def test_every_augmentation_hangs_on_seed_epoch_and_index_alone(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=4, images=4)
    data, _ = label(root, "arcface", template("arcface"), 1, 4, 0, augmentation=EVERYTHING)
    looks = [data.augmented(2, index) for index in range(16)]
    assert all(np.array_equal(data.augmented(2, index), looks[index]) for index in reversed(range(16)))
    assert sum(np.array_equal(data.augmented(3, index), looks[index]) for index in range(16)) < 4
    for batch in data.batches(2):
        for image, name in zip(batch.images, batch.names, strict=True):
            assert np.array_equal(image, looks[[crop.name for crop in data.crops].index(name)])


def test_parts_of_a_batch_make_up_the_whole(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=4, images=4)
    data, _ = label(root, "arcface", template("arcface"), 1, 5, 0, augmentation=EVERYTHING)
    halves = zip(data.batches(1, 1, slice(0, 3)), data.batches(1, 1, slice(3, None)), strict=True)
    for whole, (left, right) in zip(data.batches(1, 1), halves, strict=True):
        assert np.array_equal(whole.images, np.concatenate([left.images, right.images]))
        assert whole.names == left.names + right.names


@pytest.mark.slow
def test_loaders_leave_the_weights_as_they_are(make_crops: MakeCrops, tmp_path: Path, tiny: str, heard: Heard):
    config = TrainConfig(
        aligned=make_crops(), template="arcface", out=tmp_path / "a", backbone=tiny, epochs=2, batch=4, threads=1,
        device="cpu", augment=tuple(AUGMENTATIONS.names), report=False,
    )  # fmt: skip
    one = train(config, heard)
    assert train(replace(config, out=tmp_path / "b", loaders=2)).model_id == one.model_id
    assert train(replace(config, out=tmp_path / "c", augment=())).model_id != one.model_id
    assert all(0 <= row["wait"] <= 1 for row in heard.rows)
    assert "wait" not in one.last  # a duration: not in a file that a stopped run leaves alike


def test_the_wait_is_the_time_in_which_nothing_was_there():
    slow = Loader()
    assert list(slow.read(range(4), Slow(0.05), 2)) == [0, 1, 4, 9]
    assert slow.waited > 0.15
    quick, began = Loader(), time.monotonic()
    for _ in quick.read(range(8), Slow(0.01), 2):
        time.sleep(0.05)
    assert quick.waited < 0.3 * (time.monotonic() - began)  # the first alone


def test_a_reader_s_error_is_the_caller_s(tmp_path: Path):
    root = write_crops(tmp_path / "a", people=2, images=4)
    (root / "p1" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    data, _ = label(root, "arcface", template("arcface"), 1, 4, 0)
    for loader in (Loader(), Loader(1)):
        try:
            with pytest.raises(CosfaceError, match=r"p1/2\.png: damaged header"):
                list(replace(data, loader=loader).batches(1))
        finally:
            loader.close()
