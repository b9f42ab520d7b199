"""Several processes by the command line and by torchrun; where one fails, one line says why, and nobody waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from cosface_cli.artifacts.run.run_record import RunFolder
from cosface_cli.errors import CosfaceError
from cosface_cli.outcomes import Note, Outcome
from cosface_cli.train import TrainConfig
from cosface_cli.train.distributed.collectives import Ranks
from cosface_cli.train.distributed.launch import (
    Failure,
    StoppedElsewhere,
    is_distributed,
    is_main_process,
    run_in_processes,
)
from cosface_cli.train.setup import device
from tests.conftest import Cosface, Result, process_result
from tests.train.conftest import contents, write_crops

pytestmark = pytest.mark.slow

TIMEOUT = 60.0  # seconds: it may take a tenth of it
NINE = ("--template", "arcface", "--batch", "2", "--epochs", "1", "--threads", "1", "--device", "cpu", "--no-report")


class Fails:
    """Work at which the second process fails in some way while the first waits for it."""

    def __init__(self, how: str) -> None:
        self.how = how

    def __call__(self, config: TrainConfig, ranks: Ranks, emit: Any) -> None:
        emit(Note(f"{ranks.rank} of {ranks.world_size}"))
        dist.barrier()  # else it could fail before the first one has said a word
        if not ranks.is_main:
            if self.how == "error":
                raise CosfaceError("no more", Path("some") / "file", "mend it")
            os.kill(os.getpid(), signal.SIGKILL)
        dist.barrier()


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("error", CosfaceError, r"^some/file: no more; mend it$"),
        (
            "killed",
            CosfaceError,
            r"^process 1 of 2 was killed \(SIGKILL\), perhaps for lack of memory; run the same command again",
        ),
    ],
)
def test_one_that_fails_ends_all(how: str, kind: type[Exception], words: str):
    told: list[Outcome] = []
    began = time.monotonic()
    with pytest.raises(kind, match=words):
        run_in_processes(Fails(how), TrainConfig(processes=2, device="cpu"), told.append)
    assert time.monotonic() - began < TIMEOUT
    assert told == [Note("0 of 2")]  # the other one is not heard
    assert not list(children(os.getpid()))


def children(parent: int) -> list[int]:
    """Living processes below one, but for the keeper of named resources."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, above = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            words = (folder / "cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(above) == parent and state != "Z" and "resource_tracker" not in words:
            found.append(int(folder.name))
    return found


def test_what_can_be_mended_is_said_first():
    """Whoever noticed it earlier: a closed connection is no reason."""
    closed, killed = Failure(0, 1.0, RuntimeError("connection closed")), Failure(1, 4.0, None)
    named, elsewhere = Failure(2, 3.0, CosfaceError("lower --lr")), Failure(3, 2.0, StoppedElsewhere("another"))
    assert sorted([closed, killed, named, elsewhere], key=lambda failure: failure.order) == [
        named, killed, closed, elsewhere
    ]  # fmt: skip


def test_who_speaks():
    assert not is_distributed({}) and is_main_process({})
    assert not is_distributed({"RANK": "0", "WORLD_SIZE": "1"})  # as good as alone
    assert is_distributed({"RANK": "1", "WORLD_SIZE": "2"}) and not is_main_process({"RANK": "1", "WORLD_SIZE": "2"})
    assert is_main_process({"RANK": "0", "WORLD_SIZE": "2"})


def test_threads_of_each(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device, "cpu_count", lambda: 8)
    for set_to, processes, each in ((8, 1, 8), (3, 1, 3), (8, 2, 4), (8, 16, 1), (1, 2, 1), (3, 2, 3)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=set_to: threads)
        assert device.threads_for(processes) == each


@pytest.fixture
def nine(tmp_path: Path) -> Path:
    """9 crops of 3 people: four batches of two, and one crop is left over."""
    return write_crops(tmp_path / "aligned", people=3, images=3)


def torchrun(*words: object, folder: Path) -> Result:
    begin = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    command = [*begin, "-m", "cosface_cli", "train", *map(str, words)]
    done = subprocess.run(command, capture_output=True, timeout=2 * TIMEOUT, cwd=folder, env=environment)
    return process_result(done)


def test_nine_crops_two_a_batch_two_processes(cosface: Cosface, nine: Path, tmp_path: Path):
    """All take as many steps, so nobody waits at the end for one that has gone; and torchrun gives the same bytes."""
    began = time.monotonic()
    result = cosface("train", nine, *NINE, "--gpus", "2", "--out", "here", cwd=tmp_path)
    assert result.code == 0, result
    assert time.monotonic() - began < TIMEOUT
    assert [(row["epoch"], row["step"]) for row in result.rows] == [(1, 4)]
    for line in ("9 crops of 3 identities", "each epoch leaves out 1 crops", "in each of 2 processes", "1 done in"):
        assert result.err.count(line) == 1, result

    again = torchrun(nine, *NINE, "--out", "there", folder=tmp_path)
    assert again.code == 0, again
    assert [row["step"] for row in again.rows] == [4]
    assert again.err.count("9 crops of 3 identities") == 1 and again.err.count("1 done in") == 1
    assert contents(tmp_path / "here") == contents(tmp_path / "there")


def test_an_error_of_all_is_said_once(nine: Path, tmp_path: Path):
    result = torchrun(nine, *NINE, "--lr", "1e30", "--out", "run", folder=tmp_path)
    assert result.code != 0 and result.out == ""
    said = [line for line in result.err.splitlines() if line.startswith("cosface: ")]
    assert len(said) == 1 and said[0].startswith("cosface: run: stopped after step "), result
    assert RunFolder(tmp_path / "run").stopped.is_file()


def test_interrupted_all_end_and_it_goes_on(nine: Path, tmp_path: Path):
    words = [sys.executable, "-m", "cosface_cli", "train", str(nine), *NINE, "--processes", "2"]
    words += ["--epochs", "400", "--save-every", "0", "--out", "run"]
    running = subprocess.Popen(words, cwd=tmp_path, stdout=-1, stderr=-1, text=True, start_new_session=True)
    state = RunFolder(tmp_path / "run").state
    end = time.monotonic() + TIMEOUT
    while not state.exists():
        assert running.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    workers = children(running.pid)
    assert len(workers) == 2
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does it: to all at once
    _, err = running.communicate(timeout=TIMEOUT)
    assert running.returncode == 130
    assert "Traceback" not in err
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    assert state.is_file()
