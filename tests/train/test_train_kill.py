"""kill -9 in the middle of training, then the same again: the same files as an uninterrupted run."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cosface_cli.artifacts.run.run_record import RunFolder, read_metrics, read_record
from cosface_cli.artifacts.run.weights import read_metadata
from tests.train.conftest import contents, write_crops

pytestmark = pytest.mark.slow

DRIVER = """
import sys
from pathlib import Path
from cosface_cli.train import TrainConfig
from cosface_cli.train.stage import train
aligned, out = map(Path, sys.argv[1:])
train(TrainConfig(aligned=aligned, template="arcface", out=out, epochs=2, batch=4, threads=1, save_seconds=0.0))
"""
TIMEOUT = 120.0


def start(aligned: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-W", "error", "-c", DRIVER, str(aligned), str(out)])


def saved_step(folder: RunFolder) -> int:
    if not folder.state.exists():
        return 0
    progress = read_metadata(folder.state)["cosface-state"]
    return int(progress.split('"step": ')[1].split("}")[0].split(",")[0])


def kill_when(aligned: Path, out: Path, reached: Callable[[RunFolder], bool]) -> None:
    running = start(aligned, out)
    end = time.monotonic() + TIMEOUT
    while not reached(RunFolder(out)):
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < end
        time.sleep(0.005)
    running.kill()
    assert running.wait(TIMEOUT) == -signal.SIGKILL


def test_killed_four_times_it_ends_the_same(tmp_path: Path):
    aligned = write_crops(tmp_path / "aligned")
    straight = start(aligned, tmp_path / "straight")
    assert straight.wait(TIMEOUT) == 0

    out = tmp_path / "killed"
    kill_when(aligned, out, lambda folder: folder.record.exists())  # nothing is saved yet
    kill_when(aligned, out, lambda folder: saved_step(folder) >= 2)  # within the first epoch
    kill_when(aligned, out, lambda folder: saved_step(folder) >= 5)  # within the second
    kill_when(aligned, out, lambda folder: len(read_metrics(folder.metrics)) == 3)  # before the export
    record = read_record(RunFolder(out).record)
    assert record is not None and not record.finished

    assert start(aligned, out).wait(TIMEOUT) == 0
    assert contents(out) == contents(tmp_path / "straight")
