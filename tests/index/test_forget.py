"""Forgetting: what went is nowhere in our files, what stays is as it was, and a stopped run is ended by the next."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.index import people_file
from cosface_cli.artifacts.index.forgotten import PLAN
from cosface_cli.artifacts.index.people_file import People, Person, write_people
from cosface_cli.artifacts.store.store_file import Store, write_store
from cosface_cli.errors import CosfaceError
from cosface_cli.index import AddConfig, BuildConfig
from cosface_cli.index.forget import ForgetConfig
from cosface_cli.index.forget.stage import forget
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import add, build
from cosface_cli.outcomes import Note, Outcome
from tests.index.crop_people import PEOPLE, run, state, traces
from tests.index.stores import HEADER, vectors


def test_a_person_is_nowhere_afterwards(home: Path) -> None:
    person = "P01 Müller"
    before = traces(home, person, range(5, 10))
    assert len(before) >= 3 + 5 + 2, before
    report = run(home, identity=person)
    assert report.done and (report.index_rows, report.store_rows, report.crops) == (5, 5, 5) and report.files > 55
    assert traces(home, person, range(5, 10)) == []
    with Store(home / "faces.h5") as store:
        rows = list(store.rows())
        assert len(rows) == 55 and (store.vectors(0, 55) == np.delete(vectors(60), range(5, 10), 0)).all()
        assert [reject["source"][:3] for reject in store.rejects()] == ["P00", "P02", "P03"]
    gallery = Gallery(home / "people.index")
    assert list(gallery.rows()) == [replace(row, mtime_ns=9) for row in rows]  # the photo's
    numbers = gallery.search(gallery.vectors(np.arange(55)), 1)[1]
    assert (numbers[:, 0] == np.arange(55)).all(), "no name went to another face"
    assert len(list((home / "aligned").rglob("*.jpg"))) == 55 and not (home / "aligned" / person).exists()
    lines = [json.loads(text) for text in (home / "aligned" / "manifest.jsonl").read_text().splitlines()]
    assert [one["crop"] for one in lines] == [row.source for row in rows]
    assert not (home / "aligned" / "report.html").exists(), "the page shows crops"
    assert not list(home.rglob(".*")), "nothing is left lying about"


def test_the_receipt_has_hashes_only_and_keeps_the_person_away(home: Path) -> None:
    shutil.copy(home / "faces.h5", home / "copy.h5")
    report = run(home, identity="P02 Müller")
    text = Path(report.receipt).read_text()
    receipt = json.loads(text)
    assert "ller" not in text and ".jpg" not in text and receipt["index_rows"] == receipt["store_rows"] == 5
    assert len(receipt["crops"]) == 5 and set(receipt["crops"]) < {known.split(":")[0] for known in receipt["faces"]}
    told: list[Outcome] = []
    again = build(BuildConfig(stores=(home / "copy.h5",), index=home / "people.index"), told.append)
    assert (again.rows, again.forgotten) == (55, 5)
    assert any(isinstance(n, Note) and "their faces were forgotten" in n.text for n in told)
    assert build(BuildConfig(stores=(home / "copy.h5",), index=home / "people.index", fresh=True)).rows == 55
    assert add(AddConfig(stores=(home / "copy.h5",), index=home / "people.index")).rows == 55
    (home / "people.index" / "forgotten.jsonl").write_text("")
    assert build(BuildConfig(stores=(home / "copy.h5",), index=home / "people.index")).rows == 60
    (home / "copy.h5").unlink()


def test_without_yes_nothing_changes(home: Path) -> None:
    before = state(home)
    report = run(home, identity="P01 Müller", yes=False)
    assert not report.done and (report.index_rows, report.store_rows, report.crops) == (5, 5, 5)
    assert state(home) == before
    nobody = run(home, identity="P01")
    assert (nobody.index_rows, nobody.store_rows, nobody.crops) == (0, 0, 0) and state(home) == before


@pytest.mark.parametrize("absolute", (False, True))
def test_a_single_photo(home: Path, absolute: bool) -> None:
    source = str(home / "aligned" / "P07 Müller/3.jpg") if absolute else "P07 Müller/3.jpg"
    report = run(home, source=source)
    assert report.done and (report.index_rows, report.store_rows, report.crops) == (2, 2, 2), "both faces of the photo"
    left = {path.name for path in (home / "aligned" / "P07 Müller").iterdir()}
    assert left == {"0.jpg", "1.jpg", "2.jpg"}


def test_a_name_given_to_faces(home: Path) -> None:
    """Three faces of P07 were called Zoë: they go, and the person with them; the other faces stay."""
    report = run(home, identity="Zoë")
    assert report.done and (report.index_rows, report.store_rows, report.crops, report.people) == (3, 3, 3, 3)
    assert "Zo" not in (home / "people.index" / "people.jsonl").read_text()
    assert {p.name for p in (home / "aligned" / "P07 Müller").iterdir()} == {"3.jpg", "3.2.jpg"}


def test_one_of_two_faces_of_a_photo_stays_known(home: Path) -> None:
    """Its line is counted anew, so that align does not take it for torn and find the other one again."""
    from cosface_cli.artifacts.crops.crop_folder import CropFolder

    with Store(home / "faces.h5") as store:
        face = next(row for row in store.rows() if row.source == "P09 Müller/3.2.jpg")
    write_people(home / "people.index", People({1: Person(1, "Extra", True, (people_file.face_key(face),))}, 2))
    assert run(home, identity="Extra").crops == 1
    kept = CropFolder(home / "aligned")
    assert kept.photos["P09 Müller/3.jpg"].crops == ("P09 Müller/3.jpg",) and not kept.dropped


def test_the_same_photo_under_another_name_goes_too(home: Path) -> None:
    with Store(home / "faces.h5") as store:
        pairs = list(store.pairs())
    copy = replace(pairs[12][0], source="P11 Müller/copy.jpg", identity="P11 Müller")
    write_store(home / "faces.h5", HEADER, [*pairs, (copy, pairs[12][1])], [])
    build(BuildConfig(stores=(home / "faces.h5",), index=home / "people.index"))
    report = run(home, identity="P02 Müller")
    assert report.done and report.index_rows == report.store_rows == 6
    assert traces(home, "P02 Müller", range(10, 15)) == []


@pytest.mark.slow
def test_everybody_goes(home: Path) -> None:
    for number in range(PEOPLE):
        assert run(home, identity=f"P{number:02d} Müller").done
    assert len(Gallery(home / "people.index")) == 0 and not list((home / "aligned").rglob("*.jpg"))


def test_stores_of_other_models_and_stores_that_are_gone(home: Path, tmp_path: Path) -> None:
    with Store(home / "faces.h5") as store:
        rows = list(store.rows())
    other = replace(HEADER, model_id="other", size=8)
    write_store(tmp_path / "other.h5", other, zip(rows, vectors(60, 5, 8), strict=True), [])
    report = run(home, identity="P03 Müller", stores=(tmp_path / "other.h5",))
    assert report.done and report.store_rows == 10
    assert b"P03" not in (tmp_path / "other.h5").read_bytes()
    (home / "faces.h5").rename(tmp_path / "away.h5")
    notes: list[Outcome] = []
    done = forget(ForgetConfig(index=home / "people.index", identity="P04 Müller", yes=True), notes.append)
    assert done.done and done.index_rows == 5 and any("is missing" in n.text for n in notes if isinstance(n, Note))
    with pytest.raises(CosfaceError, match="no such store"):
        run(home, identity="P05 Müller", stores=(tmp_path / "none.h5",))


@pytest.mark.slow
def test_a_run_stopped_anywhere_is_ended_by_the_next(
    home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Stopped after each of its steps in turn (each rename and each removal of a file), as by kill -9."""
    want = None
    shutil.copytree(home, tmp_path / "before")
    for step in range(1, 100):
        left = step

        class Stopped(BaseException):
            pass

        def counted(real):
            def act(self: Path, *words, **options):
                nonlocal left
                result = real(self, *words, **options)
                left -= 1
                if left == 0:
                    raise Stopped
                return result

            return act

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", counted(Path.replace))
            patched.setattr(Path, "unlink", counted(Path.unlink))
            with suppress(Stopped):
                run(home, identity="P01 Müller")
        if left > 0:
            break
        if (home / "people.index" / PLAN).exists():
            assert run(home).done, step
        elif not (home / "people.index" / "forgotten.jsonl").exists():
            assert run(home, identity="P01 Müller").done, step
        if want is None:
            want = state(home)
            assert traces(home, "P01 Müller", range(5, 10)) == []
        assert state(home) == want, step
        shutil.rmtree(home)
        shutil.copytree(tmp_path / "before", home)
    assert 15 < step < 100
