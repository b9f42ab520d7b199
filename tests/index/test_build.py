"""Building an index: what is new is added, what is gone goes, and everything else stays as it is."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.index.index_folder import MAIN, read_header
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.engines.search import SEARCHERS, search_row
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.outcomes import Note, Outcome
from tests.index.built import files, held, made, same, stands
from tests.index.stores import HEADER, row, store, vectors


def test_a_grown_store_adds_only_its_new_rows(tmp_path: Path) -> None:
    root = tmp_path / "i"
    first = made(root, store(tmp_path / "s.h5", range(500)))
    before = files(root)
    grown = made(root, store(tmp_path / "s.h5", range(520)))
    assert (first.rows, first.added, grown.rows, grown.added, grown.removed) == (500, 500, 520, 20, 0)
    after = files(root)
    assert {name for name in before if name != MAIN} <= set(after), "what stays is not written again"
    assert len(read_header(root).segments) == 2
    assert same(held(root), stands(tmp_path / "s.h5"))


@pytest.mark.slow
def test_the_time_of_a_row_more_does_not_hang_on_the_gallery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by the rows that are written."""
    from cosface_cli.artifacts.index import vector_file

    written = 0
    add = vector_file.VectorWriter.add

    def counting(self: vector_file.VectorWriter, found: np.ndarray) -> None:
        nonlocal written
        written += len(found)
        add(self, found)

    made(tmp_path / "i", store(tmp_path / "s.h5", range(3000)))
    monkeypatch.setattr(vector_file.VectorWriter, "add", counting)
    made(tmp_path / "i", store(tmp_path / "one.h5", [3500]), add=True)
    assert written == 1
    for number in range(30):
        made(tmp_path / "i", store(tmp_path / "one.h5", [3501 + number]), add=True)
    assert written < 31 * 6 and len(read_header(tmp_path / "i").segments) < 8
    assert len(held(tmp_path / "i")) == 3031


def test_the_same_again_changes_no_byte(tmp_path: Path) -> None:
    made(tmp_path / "i", store(tmp_path / "s.h5", range(100)))
    before = files(tmp_path / "i")
    again = made(tmp_path / "i", tmp_path / "s.h5")
    assert (again.added, again.removed, again.rows) == (0, 0, 100) and files(tmp_path / "i") == before
    made(tmp_path / "j", tmp_path / "s.h5")
    assert files(tmp_path / "j") == before


def test_what_the_stores_hold_no_more_goes(tmp_path: Path) -> None:
    notes: list[Outcome] = []
    made(tmp_path / "i", store(tmp_path / "s.h5", range(200)))
    less = made(tmp_path / "i", store(tmp_path / "s.h5", range(0, 200, 2)), emit=notes.append)
    assert (less.rows, less.added, less.removed) == (100, 0, 100)
    assert any(isinstance(n, Note) and "100 rows were removed from the index" in n.text for n in notes)
    assert same(held(tmp_path / "i"), stands(tmp_path / "s.h5"))
    assert read_header(tmp_path / "i").next_id == 200, "ids are not given twice"


@pytest.mark.slow
def test_a_photo_that_changed_or_was_found_otherwise_replaces_its_row(tmp_path: Path) -> None:
    for change in ({"hash": "ab" * 32}, {"settings": "other"}, {"box": (0.0, 0.0, 9.0, 9.0)}):
        for add in (False, True):
            root = tmp_path / f"{next(iter(change))}{add}"
            made(root, store(tmp_path / "s.h5", range(40)))
            rows = [row(n) for n in range(40)]
            rows[7] = replace(rows[7], **change)
            after = made(root, store(tmp_path / "s.h5", range(40), seed=1, rows=rows), add=add)
            assert (after.rows, after.added, after.removed) == (40, 1, 1)
            new = stands(tmp_path / "s.h5")[rows[7].source]
            assert (held(root)[rows[7].source] == new).all()


def test_add_keeps_what_other_stores_gave(tmp_path: Path) -> None:
    a, b = store(tmp_path / "a.h5", range(100)), store(tmp_path / "b.h5", range(90, 150))
    made(tmp_path / "i", a)
    report = made(tmp_path / "i", b, add=True)
    assert (report.rows, report.added, report.removed) == (150, 50, 0)
    assert made(tmp_path / "i", b, add=True).added == 0
    assert same(held(tmp_path / "i"), stands(a) | stands(b))
    assert read_header(tmp_path / "i").stores == (str(a), str(b))


def test_a_row_that_stands_twice_is_taken_once(tmp_path: Path) -> None:
    """In one store or in two, and whatever the settings that the face was found with; another face of it is another."""
    rows = [row(0), row(1), row(0), replace(row(0), settings="t"), replace(row(0), face=2), row(0, content="other")]
    a = store(tmp_path / "a.h5", [0, 1, 0, 0, 4, 5], rows=rows)
    b = store(tmp_path / "b.h5", range(3))
    report = made(tmp_path / "i", a, b)
    assert (report.rows, report.added, report.doubles) == (5, 5, 4)
    found = [(r.source, r.face, r.hash) for r in Gallery(tmp_path / "i").rows()]
    assert found == [(r.source, r.face, r.hash) for r in (rows[0], rows[1], rows[4], rows[5], row(2))]
    again = made(tmp_path / "i", b, a, add=True)
    assert (again.rows, again.added, again.doubles) == (5, 0, 4)


@pytest.mark.slow
def test_a_random_walk_of_changes(tmp_path: Path) -> None:
    """Whatever was added and taken away before: the index holds what the store holds, and each row its own name."""
    rng = random.Random(3)
    have: set[int] = set()
    for _ in range(16):
        have -= set(rng.sample(sorted(have), min(len(have), rng.choice((0, 0, 1, 40)))))
        have |= set(rng.sample(range(600), rng.choice((0, 1, 5, 100))))
        report = made(tmp_path / "i", store(tmp_path / "s.h5", sorted(have)))
        assert report.rows == len(have) and report.identities == len({n // 4 for n in have})
        assert same(held(tmp_path / "i"), stands(tmp_path / "s.h5"))
    ids = np.concatenate([part.rows.ids for part in Gallery(tmp_path / "i").parts])
    assert (np.diff(ids) > 0).all()


@pytest.fixture
def low_limits() -> Iterator[None]:
    """auto takes flat below 1,500 rows, and sq8 below 3,000."""
    flat, sq8 = replace(search_row("flat"), auto_below=1500), replace(search_row("sq8"), auto_below=3000)
    with SEARCHERS.with_row(flat), SEARCHERS.with_row(sq8):
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("low_limits")
def test_chosen_by_rows_and_said(tmp_path: Path) -> None:
    notes: list[Outcome] = []
    assert made(tmp_path / "i", store(tmp_path / "s.h5", range(1000))).search == "flat"
    report = made(tmp_path / "i", store(tmp_path / "s.h5", range(2500)), emit=notes.append)
    words = " ".join(n.text for n in notes if isinstance(n, Note))
    assert report.search == "sq8" and report.recall is not None and report.recall >= 0.95
    assert "too many for exact search" in words and "256 inverted lists" in words and "finds the nearest" in words
    assert made(tmp_path / "j", store(tmp_path / "s.h5", range(3500))).search == "pq"
    found = made(tmp_path / "i", store(tmp_path / "s.h5", range(2520)))
    assert found.search == "sq8+flat" and found.added == 20
    flat = made(tmp_path / "i", tmp_path / "s.h5", search="flat")
    assert flat.search == "flat" and flat.recall is None and len(read_header(tmp_path / "i").segments) == 1
    assert same(held(tmp_path / "i"), stands(tmp_path / "s.h5"))


@pytest.mark.slow
def test_a_higher_recall_looks_through_more(tmp_path: Path) -> None:
    store(tmp_path / "s.h5", range(2000))
    settings = []
    for recall in (0.5, 0.95, 1.0):
        made(tmp_path / "i", tmp_path / "s.h5", search="sq8", recall=recall)
        settings.append(read_header(tmp_path / "i").segments[0].settings)
    assert settings[0]["nprobe"] < settings[1]["nprobe"] < settings[2]["nprobe"]
    assert all(s["recall"] >= s["recall_wanted"] for s in settings)


def test_readers_see_the_old_index_or_the_new_one(tmp_path: Path) -> None:
    """An index that was opened stays readable when another has taken its place."""
    made(tmp_path / "i", store(tmp_path / "s.h5", range(100)))
    old = Gallery(tmp_path / "i")
    made(tmp_path / "i", store(tmp_path / "s.h5", range(50, 200), seed=1), fresh=True)
    found = old.vectors(np.arange(100))
    assert (found == vectors(4000)[:100]).all() and old.row(99).source == row(99).source
    assert (old.search(found, 1)[1][:, 0] == np.arange(100)).all()


@pytest.mark.slow
def test_the_memory_of_a_build(tmp_path: Path) -> None:
    """Its peak stays under the size of the index and what a search process takes anyway."""
    count, size = 40_000, 512
    header = replace(HEADER, size=size)
    code = (
        "import sys, resource\nfrom pathlib import Path\n"
        "from cosface_cli.index import AddConfig, BuildConfig\nfrom cosface_cli.index.stage import build\n"
        "at = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "build(BuildConfig(stores=(Path(sys.argv[1]),), index=Path(sys.argv[2])))\nbefore = at()\n"
        "build(BuildConfig(stores=(Path(sys.argv[3]),), index=Path(sys.argv[4])))\nprint(at() - before)"
    )
    small = store(tmp_path / "a.h5", range(10), header=header)
    big = tmp_path / "b.h5"
    from cosface_cli.artifacts.store.store_file import write_store

    def pairs():
        rng = np.random.default_rng(0)
        for low in range(0, count, 1000):
            block = rng.normal(size=(1000, size)).astype(np.float32)
            block /= np.linalg.norm(block, axis=1, keepdims=True)
            yield from ((row(low + i), vector) for i, vector in enumerate(block))

    write_store(big, header, pairs(), [])
    words = [sys.executable, "-c", code, small, tmp_path / "i", big, tmp_path / "j"]
    done = subprocess.run(list(map(os.fspath, words)), capture_output=True, text=True, check=True)
    assert float(done.stdout) < 120, "an index of 80 MB; mapped pages count for it where the system keeps them"


def test_a_row_without_identity_or_hash_of_its_own(tmp_path: Path) -> None:
    rows: list[FaceRow] = [replace(row(n), identity=None, root="") for n in range(4)]
    made(tmp_path / "i", store(tmp_path / "s.h5", range(4), rows=rows))
    assert list(Gallery(tmp_path / "i").rows()) == rows
