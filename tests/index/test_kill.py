"""kill -9 at random moments, two writers, a full disk and hostile files: the old state or the new one, never a
third."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.index.forgotten import PLAN
from cosface_cli.artifacts.index.index_folder import check_sums
from cosface_cli.artifacts.index.people_file import People, Person, face_key, read_people, write_people
from cosface_cli.errors import CosfaceError
from cosface_cli.index import BuildConfig
from cosface_cli.index.forget import ForgetConfig
from cosface_cli.index.forget.stage import forget
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import build
from tests.index.stores import row, store

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
KILLS = {"new": 12, "append": 12, "fresh": 6, "forget": 12, "label": 8}  # 50


class Forker:
    """See tests.index.forker."""

    def __init__(self) -> None:
        words = [sys.executable, "-m", "tests.index.forker"]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )

    def run(self, job: list[object], kill_after: float | None = None) -> tuple[int, float]:
        """The exit code of one operation (-9 where it was killed), and its seconds."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        started = time.monotonic()
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        self._process.stdin.write("wait\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return code, time.monotonic() - started

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    made = Forker()
    yield made
    made.close()


def state(root: Path) -> dict[str, bytes]:
    """What lies in an index, but for locks and what is half written."""
    if not root.is_dir():
        return {}
    return {p.name: p.read_bytes() for p in root.iterdir() if not p.name.startswith(".")}


def answers(root: Path) -> list[tuple[str, bytes]]:
    """What a reader sees: the names, and the vectors that it finds under them."""
    if not (root / "index.json").is_file():
        return []
    gallery = Gallery(root)
    assert not check_sums(root, gallery.header)
    vectors = gallery.vectors(np.arange(len(gallery)))
    return [(r.source, vector.tobytes()) for r, vector in zip(gallery.rows(), vectors, strict=True)]


@pytest.mark.parametrize("kind", ("new", "append", "fresh"))
def test_build(forker: Forker, tmp_path: Path, kind: str) -> None:
    rng = random.Random(kind)
    store(tmp_path / "old.h5", range(2500))
    store(tmp_path / "new.h5", range(500, 3900))
    job: list[object] = [
        "build",
        "",
        {"stores": [str(tmp_path / "new.h5")], "search": "auto", "fresh": kind == "fresh"},
    ]
    if kind == "fresh":
        job[2]["search"] = "sq8"  # type: ignore[index]
    if kind != "new":
        build(BuildConfig(stores=(tmp_path / "old.h5",), index=tmp_path / "before"))
    else:
        (tmp_path / "before").mkdir()
    shutil.copytree(tmp_path / "before", tmp_path / "want")
    job[1] = str(tmp_path / "want")
    code, seconds = forker.run(job)
    old, new, want = answers(tmp_path / "before"), answers(tmp_path / "want"), state(tmp_path / "want")
    assert code == 0 and len(new) == 3400 and new != old
    killed = 0
    for number in range(KILLS[kind]):
        root = tmp_path / str(number)
        shutil.copytree(tmp_path / "before", root)
        job[1] = str(root)
        code, _ = forker.run(job, rng.uniform(0, seconds))
        killed += code == -signal.SIGKILL
        assert code in (0, -signal.SIGKILL) and answers(root) in (old, new)
        assert forker.run(job)[0] == 0 and state(root) == want
        assert not list(root.glob(".*")) or [p.name for p in root.glob(".*")] == [".index.json.lock"]
        shutil.rmtree(root)
    assert killed >= KILLS[kind] // 3


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """s.h5, i/ with people 1 and 2 who have no names yet; to be copied."""
    base = tmp_path_factory.mktemp("named")
    store(base / "s.h5", range(800))
    build(BuildConfig(stores=(base / "s.h5",), index=base / "i"))
    persons = {n: Person(n, None, False, (face_key(row(4 * n)), face_key(row(4 * n + 1)))) for n in range(1, 150)}
    ordered = {n: Person(n, None, False, tuple(sorted(p.faces))) for n, p in persons.items()}
    write_people(base / "i", People(ordered, 150))
    return base


def test_label(forker: Forker, named: Path, tmp_path: Path) -> None:
    rng = random.Random(5)
    shutil.copytree(named / "i", tmp_path / "want")
    _, seconds = forker.run(["label", str(tmp_path / "want"), {"who": "2", "name": "Zoë"}])
    want = state(tmp_path / "want")
    assert read_people(tmp_path / "want").persons[2].name == "Zoë"
    for number in range(KILLS["label"]):
        root = tmp_path / str(number)
        shutil.copytree(named / "i", root)
        forker.run(["label", str(root), {"who": "2", "name": "Zoë"}], rng.uniform(0, seconds))
        assert state(root) in (state(named / "i"), want)
        if state(root) != want:
            assert forker.run(["label", str(root), {"who": "2", "name": "Zoë"}])[0] == 0 and state(root) == want


def test_forget(forker: Forker, named: Path, tmp_path: Path) -> None:
    """Index and store are each the old or the new one whenever it is killed, and the next run ends it."""
    rng = random.Random(6)
    home = tmp_path / "home"

    def begin() -> None:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        shutil.copy(named / "s.h5", home / "s.h5")
        build(BuildConfig(stores=(home / "s.h5",), index=home / "i"))
        shutil.copy(named / "i" / "people.jsonl", home / "i" / "people.jsonl")

    def whole() -> dict[str, bytes]:
        return {**state(home / "i"), "s.h5": (home / "s.h5").read_bytes()} | {"forgotten.jsonl": b""}

    begin()
    old = answers(home / "i")
    _, seconds = forker.run(["forget", str(home / "i"), {"identity": "person0003"}])
    want, new = whole(), answers(home / "i")
    assert len(new) == len(old) - 4
    shutil.copytree(home, tmp_path / "kept")
    stopped = 0
    for _ in range(KILLS["forget"]):
        begin()
        forker.run(["forget", str(home / "i"), {"identity": "person0003"}], rng.uniform(0, seconds))
        assert answers(home / "i") in (old, new)
        unfinished = (home / "i" / PLAN).exists()
        stopped += unfinished
        if unfinished:
            with pytest.raises(CosfaceError, match="is unfinished"):
                build(BuildConfig(stores=(home / "s.h5",), index=home / "i"))
        if unfinished or answers(home / "i") == old:
            words = {} if unfinished else {"identity": "person0003"}
            assert forget(ForgetConfig(index=home / "i", yes=True, **words)).done
        assert whole() == want
        assert b"person0003" not in b"".join(p.read_bytes() for p in home.rglob("*") if p.is_file())
    assert stopped, "no kill fell into the work"


def test_two_writers_at_once(tmp_path: Path) -> None:
    """One of them writes, the other is refused or comes after it; what is there is what one of them would have left."""
    stores = [store(tmp_path / "a.h5", range(2000)), store(tmp_path / "b.h5", range(1500, 3500))]
    command = [sys.executable, "-m", "cosface_cli", "index", "build"]
    both = [
        subprocess.Popen(
            [*command, str(path), str(tmp_path / "i"), "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for path in stores
    ]
    ends = [(one.communicate(timeout=60)[1], one.returncode) for one in both]
    assert 0 in [code for _, code in ends]
    assert all(code == 0 or (code == 2 and b"another cosface is writing" in err) for err, code in ends), ends
    alone = []
    for number, path in enumerate(stores):
        build(BuildConfig(stores=(path,), index=tmp_path / str(number)))
        alone.append(sorted(answers(tmp_path / str(number))))
    assert sorted(answers(tmp_path / "i")) in alone


@pytest.mark.parametrize("room", (0, 200_000, 700_000))
def test_a_full_disk_leaves_the_old_index(tmp_path: Path, small_disk: Path, room: int) -> None:
    subprocess.run(["mount", "-o", "remount,size=2m", str(small_disk)], check=True)
    build(BuildConfig(stores=(store(tmp_path / "s.h5", range(1000)),), index=small_disk / "i", search="sq8"))
    before, files = answers(small_disk / "i"), state(small_disk / "i")
    store(tmp_path / "s.h5", range(500, 4000))
    filler = small_disk / "filler"
    with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(filler, max(0, filler.stat().st_size - room))
    with pytest.raises(CosfaceError, match="the disk is full"):
        build(BuildConfig(stores=(tmp_path / "s.h5",), index=small_disk / "i", search="sq8"))
    assert answers(small_disk / "i") == before and state(small_disk / "i") == files
    filler.unlink()
    assert build(BuildConfig(stores=(tmp_path / "s.h5",), index=small_disk / "i", search="sq8")).rows == 3500
