"""Growing a store: killed anywhere and gone on with, it ends byte for byte as if never stopped."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cosface_cli.artifacts.store import store_update
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, StoreHeader
from cosface_cli.artifacts.store.store_update import Key, SavedResult, StoreUpdate
from cosface_cli.errors import CosfaceError, ModelMismatch

HEADER = StoreHeader(model="dlib", model_id="dlib-0123", template="dlib", flip="none", size=4)
ROOT = "/photos"


def result(source: str, faces: int = 1, version: int = 0) -> tuple[list[FaceRow], np.ndarray, SavedResult, Key]:
    """What a photo gives: a number of faces that depends on nothing but its name and version."""
    digest = f"{version:02x}" * 32
    vectors = np.random.default_rng([*source.encode(), version]).normal(size=(faces, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        FaceRow(
            source=source,
            identity="p",
            root=ROOT,
            settings="s",
            face=face,
            box=(1.0, 2.5, 3.0, 4.0),
            score=0.5,
            sharpness=7.0,
            hash=digest,
            size=10 + version,
            mtime_ns=20,
        )
        for face in range(1, faces + 1)
    ]
    reason = None if faces else "no_face"
    words = "" if faces else f"{source}: no face was found"
    return (
        rows,
        vectors,
        SavedResult(
            hash=digest,
            size=10 + version,
            mtime_ns=20,
            settings="s",
            reason=reason,
            words=words,
            rows=faces,
            start=-1,
            offset=-1,
        ),
        (ROOT, source),
    )


SOURCES = [f"{number:03d}.jpg" for number in range(40)]
ORDER: list[Key] = [(ROOT, source) for source in SOURCES]


def faces_of(source: str) -> int:
    return int(source[:3]) % 4  # some photos have none, some three


def filled(path: Path, sources: Iterable[str], order: Sequence[Key] = ORDER) -> StoreUpdate:
    update = StoreUpdate(path, HEADER)
    for source in sources:
        if (ROOT, source) not in update.results:
            update.add(*result(source, faces_of(source)), order)
    return update


def finished(path: Path, sources: Iterable[str] = SOURCES, order: Sequence[Key] = ORDER) -> bytes:
    update = filled(path, sources, order)
    update.publish(order)
    update.close()
    return path.read_bytes()


def listed(path: Path) -> list[tuple[str, int]]:
    with Store(path) as store:
        return [(row.source, row.face) for row in store.rows()]


@pytest.fixture
def straight(tmp_path: Path) -> bytes:
    """The bytes of a run that nobody stopped."""
    return finished(tmp_path / "straight.h5")


def test_rows_stand_in_the_order_of_the_sources(tmp_path: Path, straight: bytes):
    want = [(source, face) for source in SOURCES for face in range(1, faces_of(source) + 1)]
    assert listed(tmp_path / "straight.h5") == want
    with Store(tmp_path / "straight.h5") as store:
        for start, row in enumerate(store.rows()):
            vectors = result(row.source, faces_of(row.source))[1]
            np.testing.assert_array_equal(store.vectors(start, start + 1)[0], vectors[row.face - 1])
        rejects = store.rejects()
    assert [reject["source"] for reject in rejects] == [s for s in SOURCES if faces_of(s) == 0]
    assert rejects[0]["reason"] == "no_face" and rejects[0]["words"] == "000.jpg: no face was found"


def test_the_journal_goes_when_the_store_has_it_all(tmp_path: Path, straight: bytes):
    assert [path.name for path in tmp_path.iterdir()] == ["straight.h5"]


@pytest.mark.parametrize("seed", range(3))
def test_whatever_the_order_of_arrival(tmp_path: Path, straight: bytes, seed: int):
    shuffled = list(np.random.default_rng(seed).permutation(SOURCES))
    assert finished(tmp_path / "s.h5", map(str, shuffled)) == straight


@pytest.mark.parametrize("pieces", ((0, 10), (17,), (39, 40), (1, 2, 3, 30)))
def test_stopped_and_published_in_pieces(tmp_path: Path, straight: bytes, pieces: tuple[int, ...]):
    path = tmp_path / "s.h5"
    for stop in pieces:
        finished(path, SOURCES[:stop])
    assert finished(path) == straight


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_store_update as t
from cosface_cli.artifacts.store import store_update
store_update._PUBLISH = int(sys.argv[4])
left = int(sys.argv[3])
update = t.StoreUpdate(Path(sys.argv[2]), t.HEADER)
for source in t.SOURCES:
    if (t.ROOT, source) not in update.results:
        if left == 0:
            os.kill(os.getpid(), 9)
        update.add(*t.result(source, t.faces_of(source)), t.ORDER)
        left -= 1
os.kill(os.getpid(), 9)
"""


def killed(path: Path, after: int, publish: int) -> None:
    arguments = [str(Path(__file__).parent), str(path), str(after), str(publish)]
    assert subprocess.run([sys.executable, "-c", KILLED, *arguments]).returncode == -9


@pytest.mark.slow
@pytest.mark.parametrize(("after", "publish"), ((0, 1024), (1, 1024), (23, 1024), (40, 1024), (7, 5), (25, 5), (40, 5)))
def test_kill_9_loses_nothing_that_was_added(tmp_path: Path, straight: bytes, after: int, publish: int):
    path = tmp_path / "s.h5"
    killed(path, after, publish)
    update = StoreUpdate(path, HEADER)
    assert sorted(update.results) == ORDER[:after]
    update.close()
    assert finished(path) == straight


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path, straight: bytes):
    path = tmp_path / "s.h5"
    for _ in range(3):
        killed(path, 9, 5)
    update = StoreUpdate(path, HEADER)
    assert sorted(update.results) == ORDER[:27]
    update.close()
    assert finished(path) == straight


def test_killed_between_the_store_and_the_end_of_its_journal(
    tmp_path: Path, straight: bytes, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "s.h5"
    update = filled(path, SOURCES[:20])
    monkeypatch.setattr(store_update.Journal, "remove", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        update.publish(ORDER)
    monkeypatch.undo()
    update._journal.close()
    assert path.exists() and (tmp_path / ".s.h5.journal").exists()
    assert finished(path) == straight


@pytest.mark.parametrize(
    ("other", "words"),
    (
        ({"model_id": "other-0123"}, r"made with dlib \(dlib-0123\), expected dlib \(other-0123\)"),
        ({"flip": "sum"}, r"flip none\), expected dlib \(dlib-0123, flip sum\)"),
    ),
)
def test_what_a_stopped_run_of_another_model_left_is_not_lost(tmp_path: Path, other: dict[str, str], words: str):
    path = tmp_path / "s.h5"
    filled(path, SOURCES[:9]).close()
    journal = tmp_path / ".s.h5.journal"
    left = journal.read_bytes()
    with pytest.raises(
        ModelMismatch, match=f"interrupted run left a part of it: .*{words}; .*, or delete .s.h5.journal"
    ):
        StoreUpdate(path, replace(HEADER, **other))
    assert journal.read_bytes() == left and not path.exists()
    update = StoreUpdate(path, replace(HEADER, model="by another name"))
    assert sorted(update.results) == ORDER[:9]
    update.close()


def test_a_run_that_adds_nothing_changes_no_byte(tmp_path: Path, straight: bytes):
    path = tmp_path / "straight.h5"
    before = path.stat()
    update = StoreUpdate(path, HEADER)
    assert not update.has_changes and set(update.results) == set(ORDER)
    update.close()
    assert path.read_bytes() == straight and path.stat().st_mtime_ns == before.st_mtime_ns
    assert [p.name for p in tmp_path.iterdir()] == ["straight.h5"]
    assert finished(path) == straight  # also when it is written anew


def test_long_runs_publish_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """First after so many rows, then each time the store has doubled."""
    monkeypatch.setattr(store_update, "_PUBLISH", 8)
    path = tmp_path / "s.h5"
    update = StoreUpdate(path, HEADER)
    sizes = []
    for source in SOURCES:
        update.add(*result(source, 1), ORDER)
        sizes.append(len(listed(path)) if path.exists() else 0)
    assert sizes == [0] * 7 + [8] * 8 + [16] * 16 + [32] * 9
    update.publish(ORDER)
    update.close()
    assert listed(path) == [(source, 1) for source in SOURCES]


def test_what_is_known_of_each_source_comes_back(tmp_path: Path, straight: bytes):
    update = StoreUpdate(tmp_path / "straight.h5", HEADER)
    for source in SOURCES:
        want = result(source, faces_of(source))[2]
        assert replace(update.results[ROOT, source], start=-1, offset=-1) == want
    update.close()


def test_a_changed_photo_replaces_its_rows(tmp_path: Path, straight: bytes):
    path = tmp_path / "straight.h5"
    update = StoreUpdate(path, HEADER)
    update.add(*result("002.jpg", 1, version=1), ORDER)  # had two faces, has one
    update.add(*result("003.jpg", 0, version=1), ORDER)  # had three, has none
    update.add(*result("004.jpg", 2, version=1), ORDER)  # had none, has two
    update.publish(ORDER)
    update.close()
    rows = listed(path)
    assert rows[:4] == [("001.jpg", 1), ("002.jpg", 1), ("004.jpg", 1), ("004.jpg", 2)]
    with Store(path) as store:
        assert [row.hash for row in store.rows(0, 4)] == ["00" * 32] + ["01" * 32] * 3
        np.testing.assert_array_equal(store.vectors(1, 2), result("002.jpg", 1, version=1)[1])
        np.testing.assert_array_equal(store.vectors(4, 5), result("005.jpg", 1)[1])
        sources = [reject["source"] for reject in store.rejects()]
    assert "003.jpg" in sources and "004.jpg" not in sources


def test_a_photo_changed_twice_before_it_was_published(tmp_path: Path):
    path = tmp_path / "s.h5"
    update = StoreUpdate(path, HEADER)
    for version in (1, 2):
        update.add(*result("001.jpg", 2, version), ORDER)
    update.close()
    update = StoreUpdate(path, HEADER)
    update.publish(ORDER)
    update.close()
    with Store(path) as store:
        assert [row.hash for row in store.rows()] == ["02" * 32] * 2


def test_sources_of_another_folder_stay(tmp_path: Path, straight: bytes):
    path = tmp_path / "straight.h5"
    update = StoreUpdate(path, HEADER)
    rows, vectors, known, _ = result("000.jpg", 1)
    other = ("/other", "000.jpg")
    update.add([replace(rows[0], root="/other")], vectors, known, other, [other])
    assert update.publish([other]) == len(listed(path))
    update.close()
    with Store(path) as store:
        assert [(row.root, row.source) for row in store.rows()][-1] == other
        assert len(store) == sum(map(faces_of, SOURCES)) + 1
        assert len(store.rejects()) == 10


def test_another_model_is_refused_naming_both(tmp_path: Path, straight: bytes):
    path = tmp_path / "straight.h5"
    with pytest.raises(ModelMismatch, match=r"made with dlib \(dlib-0123\), expected mine \(mine-4567\)"):
        StoreUpdate(path, replace(HEADER, model="mine", model_id="mine-4567"))
    with pytest.raises(ModelMismatch, match=r"flip none.*flip sum"):
        StoreUpdate(path, replace(HEADER, flip="sum"))
    with pytest.raises(ModelMismatch, match=r"flip none.*flip concat"):
        StoreUpdate(path, replace(HEADER, flip="concat", size=8))
    with pytest.raises(ModelMismatch, match=r"template dlib.*template arcface"):
        StoreUpdate(path, replace(HEADER, template="arcface"))
    assert path.read_bytes() == straight and [p.name for p in tmp_path.iterdir()] == ["straight.h5"]


def test_the_model_s_name_may_change(tmp_path: Path, straight: bytes):
    StoreUpdate(tmp_path / "straight.h5", replace(HEADER, model="renamed")).close()


def test_a_damaged_store_is_moved_aside_and_never_overwritten(tmp_path: Path, straight: bytes):
    path = tmp_path / "straight.h5"
    damaged = []
    for cut in (1000, 2000, 3000):
        damaged.append(straight[:-cut])
        path.write_bytes(damaged[-1])
        update = StoreUpdate(path, HEADER)
        assert update.results == {} and update.moved_aside is not None
        assert update.moved_aside.read_bytes() == damaged[-1]
        update.close()
        assert finished(path) == straight
    asides = [path.read_bytes() for path in tmp_path.iterdir() if "broken" in path.name]
    assert sorted(asides) == sorted(damaged)


def damage_codes(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["identity/codes"][-1] = 9999


def damage_rejects(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["rejects"]
        file["rejects"] = np.frombuffer(b'{"root": "/photos", "source": "x"}\n', np.uint8)


@pytest.mark.parametrize("damage", (damage_codes, damage_rejects))
def test_damage_that_shows_late_is_damage_too(tmp_path: Path, straight: bytes, damage):
    path = tmp_path / "straight.h5"
    damage(path)
    update = StoreUpdate(path, HEADER)
    assert update.moved_aside is not None and update.moved_aside.exists() and update.results == {}
    update.close()


def test_what_was_never_a_store_stays_where_it_is(tmp_path: Path):
    text, folder, plain = tmp_path / "t.txt", tmp_path / "folder", tmp_path / "p.h5"
    text.write_text("shopping list\n")
    (folder / "inner").mkdir(parents=True)
    with h5py.File(plain, "w") as file:
        file["x"] = 1
    before = sorted(p.name for p in tmp_path.iterdir())
    for path in (text, folder, plain):
        with pytest.raises(CosfaceError):
            StoreUpdate(path, HEADER)
    assert sorted(p.name for p in tmp_path.iterdir()) == before and text.read_text() == "shopping list\n"


def test_an_empty_file_is_no_store_yet(tmp_path: Path, straight: bytes):
    path = tmp_path / "s.h5"
    path.touch()
    assert finished(path) == straight


def test_a_full_disk_keeps_the_old_store_and_the_journal(small_disk: Path):
    path = small_disk / "s.h5"
    update = StoreUpdate(path, HEADER)
    for source in SOURCES[:5]:
        update.add(*result(source, faces_of(source)), ORDER)
    with pytest.raises(CosfaceError, match="the disk is full"):
        update.publish(ORDER)  # an HDF5 file of ours is larger than this disk
    update.close()
    update = StoreUpdate(path, HEADER)
    assert sorted(update.results) == ORDER[:5]
    update.close()


def test_names_of_every_kind(tmp_path: Path):
    path = tmp_path / "s.h5"
    odd = ["new\nline.jpg", "名.jpg", "\udcff.jpg", "", 'a"b,c.jpg']
    for _ in range(2):
        update = StoreUpdate(path, HEADER)
        for name in odd:
            if (ROOT, name) not in update.results:
                rows, vectors, known, _ = result("001.jpg", 1)
                update.add([replace(rows[0], source=name, identity=name or None)], vectors, known, (ROOT, name), [])
        update.publish([(ROOT, name) for name in odd])
        update.close()
    assert [source for source, _ in listed(path)] == odd
