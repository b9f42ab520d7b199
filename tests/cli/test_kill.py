"""kill -9 during a run, then the same command again: the same files as without the kill."""

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
from tests.folders import contents

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "cosface_cli"]
KILLS = 5
COPIES = 5


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory, people: Path) -> Path:
    """Enough photos that a kill hits a running command."""
    root = tmp_path_factory.mktemp("crowd") / "raw"
    for copy in range(COPIES):
        shutil.copytree(people, root / f"{copy:02d}")
    return root


def killed(words: list[object], rows: int, seconds: float) -> None:
    """Run a command and kill it shortly after it has written so many rows; it must still be running."""
    process = subprocess.Popen([*COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    for _ in range(rows):
        assert process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL


def moments(seed: int) -> list[tuple[int, float]]:
    """When to kill: after so many of some 120 rows, and a moment more."""
    at = random.Random(seed)
    return [(0, 0.8), *((at.randint(1, 90), at.uniform(0, 0.02)) for _ in range(KILLS))]


def test_align(invoke: Cosface, crowd: Path, tmp_path: Path) -> None:
    words = ["--faces", "all", "--min-score", "0.9"]
    assert invoke("align", crowd, tmp_path / "whole", *words).code == 3
    want = contents(tmp_path / "whole")
    for number, moment in enumerate(moments(1)):
        out = tmp_path / f"killed{number}"
        killed(["align", crowd, out, *words], *moment)
        again = invoke("align", crowd, out, *words)
        assert again.code == 3 and contents(out) == want, moment


def test_embed(invoke: Cosface, crowd: Path, tmp_path: Path) -> None:
    assert invoke("embed", crowd, tmp_path / "whole.h5").code == 3
    want = (tmp_path / "whole.h5").read_bytes()
    for number, moment in enumerate(moments(2)):
        folder = tmp_path / f"killed{number}"
        folder.mkdir()
        killed(["embed", crowd, folder / "faces.h5"], *moment)
        again = invoke("embed", crowd, folder / "faces.h5")
        assert again.code == 3 and {p.name: p.read_bytes() for p in folder.iterdir()} == {"faces.h5": want}, moment
        told = sum(row["status"] == "ok" for row in again.rows)
        assert told <= 20 * COPIES - (moment[0] - 4 * COPIES), "rows that were told are not embedded again"


def test_a_store_is_readable_while_it_grows(invoke: Cosface, crowd: Path, tmp_path: Path) -> None:
    """An existing store stays readable, and a kill while rows are added loses none of its rows."""
    from cosface_cli.artifacts.store.store_file import Store

    store = tmp_path / "faces.h5"
    invoke("embed", crowd / "00", store)
    before = store.read_bytes()
    killed(["embed", crowd / "01", store], 5, 0)
    assert store.read_bytes() == before
    assert invoke("embed", crowd / "01", store).code == 3
    with Store(store) as whole:
        assert len(whole) == 40
