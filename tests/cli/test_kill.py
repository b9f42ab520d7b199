"""kill -9 in the middle, then the same command again: the same files as without."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Cosface

COMMAND = [sys.executable, "-m", "cosface_cli"]
KILLS = 5


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, people: Path) -> Path:
    """Enough photos that a kill falls into the work."""
    root = tmp_path_factory.mktemp("crowd") / "raw"
    for copy in range(5):
        shutil.copytree(people, root / f"{copy:02d}")
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def killed(words: list[object], seconds: float) -> bool:
    """Run a command and kill it; whether it was still at work."""
    process = subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    alive = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return alive


def last(words: list[object]) -> float:
    started = time.monotonic()
    subprocess.run([*COMMAND, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def test_align(cosface: Cosface, crowd: Path, tmp_path: Path) -> None:
    seconds = last(["align", crowd, tmp_path / "whole", "--faces", "all"])
    want = tree(tmp_path / "whole")
    at_work = 0
    for kill in range(KILLS):
        out = tmp_path / f"killed{kill}"
        at_work += killed(["align", crowd, out, "--faces", "all"], random.Random(kill).uniform(0.3, seconds))
        assert cosface("align", crowd, out, "--faces", "all").code == 3
        assert tree(out) == want, f"kill {kill}"
    assert at_work >= KILLS // 2


def test_embed(cosface: Cosface, crowd: Path, tmp_path: Path) -> None:
    words = ["embed", crowd, tmp_path / "whole.h5"]
    seconds = last(words)
    want = (tmp_path / "whole.h5").read_bytes()
    at_work = 0
    for kill in range(KILLS):
        folder = tmp_path / f"killed{kill}"
        store = folder / "faces.h5"
        at_work += killed(["embed", crowd, store], random.Random(kill).uniform(0.3, seconds))
        if store.exists():
            from cosface_cli.artifacts.store import Store

            with Store(store) as whole:  # what stands there is a whole store at every moment
                assert len(whole) >= 0
        assert cosface("embed", crowd, store).code == 3
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == {"faces.h5": want}, f"kill {kill}"
    assert at_work >= KILLS // 2


def test_what_was_done_is_not_done_again(cosface: Cosface, crowd: Path, tmp_path: Path) -> None:
    seconds = last(["embed", crowd, tmp_path / "whole.h5"])
    assert killed(["embed", crowd, tmp_path / "f.h5"], seconds * 0.7)
    again = cosface("embed", crowd, tmp_path / "f.h5")
    done = sum(row["status"] == "ok" for row in again.rows)
    assert 0 < done < 5 * 20, again.err
