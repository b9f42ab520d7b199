"""A full or read-only disk, and two writers at once: an error in one line, and existing files stay."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from cosface_cli.artifacts.files import atomic
from tests.conftest import Cosface
from tests.folders import contents

pytestmark = pytest.mark.slow


def out_of(kind: str, folder: Path) -> Path:
    return folder / ("crops" if kind == "align" else "faces.h5")


def content(out: Path) -> object:
    return contents(out) if out.is_dir() else out.read_bytes()


@pytest.fixture
def disk(small_disk: Path) -> Path:
    """A file system of 4 MiB, for a store or two."""
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    return small_disk


@pytest.mark.parametrize("kind", ["align", "embed"])
def test_a_full_disk_and_then_room(invoke: Cosface, people: Path, disk: Path, tmp_path: Path, kind: str) -> None:
    out, whole = out_of(kind, disk), out_of(kind, tmp_path)
    words = ("--template", "arcface") if kind == "align" else ()
    few, more = people / "person1", people / "person2"
    assert invoke(kind, few, out, *words).code == 0
    before = content(out)
    filler = disk / "filler"
    with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    full = invoke(kind, more, out, *words)
    assert full.code == 2 and len(full.err.splitlines()) == 1 and "the disk is full" in full.err, full
    assert content(out) == before or {n: d for n, d in contents(out).items() if n in before} == before
    filler.unlink()
    assert invoke(kind, more, out, *words).code == 0
    for source in (few, more):
        invoke(kind, source, whole, *words)
    assert content(out) == content(whole)
    assert not list(disk.rglob(".*"))


@pytest.mark.parametrize("kind", ["align", "embed"])
def test_a_read_only_disk(invoke: Cosface, people: Path, disk: Path, kind: str) -> None:
    out = out_of(kind, disk)
    words = ("--template", "arcface") if kind == "align" else ()
    invoke(kind, people / "person1", out, *words)
    before = content(out)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for source in ("person1", "person2"):
        refused = invoke(kind, people / source, out, *words)
        assert refused.code == 2 and len(refused.err.splitlines()) == 1 and "read-only" in refused.err, refused
    assert content(out) == before


def test_two_writers_of_a_store_are_refused(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    store = tmp_path / "faces.h5"
    with atomic.lock(store):
        busy = invoke("embed", people / "person1", store)
    assert busy.code == 2 and len(busy.err.splitlines()) == 1 and "another cosface is writing there" in busy.err
    assert not store.exists()
    assert invoke("embed", people / "person1", store).code == 0


@pytest.mark.parametrize("kind", ["align", "embed"])
def test_two_writers_at_once_write_the_same_as_one(invoke: Cosface, people: Path, tmp_path: Path, kind: str) -> None:
    """The second writer is refused, or finds the work done; no row is written twice."""
    import sys

    raw, out, alone = tmp_path / "raw", out_of(kind, tmp_path), out_of(kind, tmp_path / "alone")
    for person in ("person1", "person2", "person3"):
        shutil.copytree(people / person, raw / person)
    command = [sys.executable, "-m", "cosface_cli", kind, str(raw), str(out), "--workers", "1", "--quiet"]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    ends = [(one.communicate(timeout=60)[1], one.returncode) for one in both]
    assert 0 in [code for _, code in ends]
    assert all(code == 0 or (code == 2 and b"another cosface" in err) for err, code in ends), ends
    invoke(kind, raw, alone)
    assert content(out) == content(alone)
