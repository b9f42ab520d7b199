"""Forgetting: what went is nowhere in our files, what stays is as it was, and a stopped run is ended by the next."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.artifacts.crops.manifest import CropRecord, RejectRecord, line
from cosface_cli.artifacts.files.byte_search import Needles
from cosface_cli.artifacts.index import people_file
from cosface_cli.artifacts.index.forgotten import PLAN
from cosface_cli.artifacts.index.people_file import People, Person, write_people
from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.artifacts.store.store_file import Store, write_store
from cosface_cli.errors import CosfaceError
from cosface_cli.index import AddConfig, BuildConfig
from cosface_cli.index.forget import ForgetConfig, ForgetReport
from cosface_cli.index.forget.stage import forget
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import add, build
from cosface_cli.outcomes import Note, Outcome
from tests.index.stores import HEADER, vectors

PEOPLE, EACH = 12, 5


def crop_bytes(name: str) -> bytes:
    import hashlib

    head = b"\xff\xd8\xff\xe0 a head that all of them share " * 8
    return head + b"".join(hashlib.sha256(f"{name}{i}".encode()).digest() for i in range(40))


def digest(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """aligned/ with two faces in each fifth photo, faces.h5, people.index with two segments and a name; not to be
    written to."""
    root = tmp_path_factory.mktemp("forget")
    aligned = root / "aligned"
    found = vectors(PEOPLE * EACH)
    manifest, pairs = [], []
    for number in range(PEOPLE * EACH):
        person, photo = f"P{number // EACH:02d} Müller", number % EACH
        first = photo != 4
        # the photo before has a second face: its crop is this one
        crop = f"{person}/{photo}.jpg" if first else f"{person}/3.2.jpg"
        source = f"{person}/{photo if first else 3}.jpg"
        content = crop_bytes(crop)
        (aligned / person).mkdir(parents=True, exist_ok=True)
        (aligned / crop).write_bytes(content)
        points = ((67.0, 85.5), (125.1, 85.3), (95.6, 121.6), (69.7, 146.6), (121.9, 146.4))
        faces = 2 if photo >= 3 else 1
        record = CropRecord(
            crop=crop,
            source=source,
            size=9,
            mtime_ns=9,
            hash=digest(source.encode()),
            face=1 if first else 2,
            faces=faces,
            found=faces,
            box=(0.0, 0.0, 9.0, 9.0),
            landmarks=points,
            score=0.9,
            template="wide",
            detector="d",
            settings="s",
        )
        manifest.append(line(record))
        row = Row(crop, person, str(aligned), "s", 1, (0.0, 0.0, 9.0, 9.0), 0.9, 1.0, digest(content))
        pairs.append((row, found[number]))
    (aligned / "manifest.jsonl").write_text("".join(manifest))
    rejects = [
        RejectRecord(
            source=f"P0{n} Müller/bad.jpg",
            size=1,
            mtime_ns=1,
            hash="",
            reason="no_face",
            words=f"P0{n} Müller/bad.jpg: no face",
            settings="s",
        )
        for n in range(4)
    ]
    (aligned / "rejects.jsonl").write_text("".join(map(line, rejects)))
    (aligned / "report.html").write_text("a page that shows P01 Müller/0.jpg")
    no_face = {"root": str(aligned), "hash": "", "size": 1, "mtime_ns": 1, "settings": "s", "reason": "no_face"}
    store_rejects = [{**no_face, "source": f"P0{n} Müller/bad.jpg", "words": "w"} for n in range(4)]
    write_store(root / "faces.h5", HEADER, pairs[:45], store_rejects)
    build(BuildConfig(stores=(root / "faces.h5",), index=root / "people.index", search="flat"))
    write_store(root / "faces.h5", HEADER, pairs, store_rejects)
    build(BuildConfig(stores=(root / "faces.h5",), index=root / "people.index"))
    assert len(Gallery(root / "people.index").parts) == 2
    named = tuple(sorted(people_file.face_key(row) for row, _ in pairs[35:38]))
    write_people(root / "people.index", People({3: Person(3, "Zoë", True, named)}, 4))
    return root


@pytest.fixture
def home(template: Path, tmp_path: Path) -> Iterator[Path]:
    """The same to write to, where its paths say it is."""
    aside = tmp_path / "aside"
    shutil.copytree(template, aside)
    yield template
    shutil.rmtree(template)
    shutil.copytree(aside, template)


def run(home: Path, **options) -> ForgetReport:
    options.setdefault("yes", True)
    return forget(ForgetConfig(index=home / "people.index", **options))


def state(home: Path) -> dict[str, bytes]:
    files = (p for p in home.rglob("*") if p.is_file() and p.name != "forgotten.jsonl")
    return {p.relative_to(home).as_posix(): p.read_bytes() for p in sorted(files)}


def traces(home: Path, person: str, numbers: range) -> list[str]:
    """Every file that holds a name, a crop or an embedding of a person: found by plain searching, not by our code."""
    found = vectors(PEOPLE * EACH)
    needles = [person.encode(), json.dumps(person).encode()]
    needles += [found[n].tobytes()[at : at + 8] for n in numbers for at in range(0, found.shape[1] * 4 - 8, 4)]
    for photo in range(EACH):
        content = crop_bytes(f"{person}/{photo}.jpg" if photo != 4 else f"{person}/3.2.jpg")
        needles += [content[at : at + 12] for at in range(300, len(content) - 12, 6)]
    out = []
    for path in sorted(home.rglob("*")):
        content = path.read_bytes() if path.is_file() and path.name != "forgotten.jsonl" else b""
        if any(needle in content for needle in needles) or person in str(path.relative_to(home)):
            out.append(str(path.relative_to(home)))
    return out


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
    assert any(isinstance(n, Note) and "they were forgotten once" in n.text for n in told)
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


def test_traces_that_are_left_are_found(home: Path) -> None:
    """Bytes in a file that nobody knew of: it is named, there is no receipt, and the next run ends it."""
    hidden = home / "faces.h5.broken"
    hidden.write_bytes(b"x" * 1001 + vectors(PEOPLE * EACH)[7].tobytes()[20:90] + b"y" * 99)
    page = home / "people.index" / "notes.txt"
    page.write_text("see P01 Müller/2.jpg")
    report = run(home, identity="P01 Müller")
    assert not report.done and set(report.remains) == {str(hidden), str(page)} and report.receipt is None
    with pytest.raises(CosfaceError, match="has not ended yet"):
        build(BuildConfig(stores=(home / "faces.h5",), index=home / "people.index"))
    hidden.unlink(), page.unlink()
    assert run(home).done and traces(home, "P01 Müller", range(5, 10)) == []


def test_names_inside_other_names_are_no_trace(tmp_path: Path) -> None:
    rows = []
    for name in ("a/1.jpg", "aa/1.jpg", "x/a/1.jpg.jpg", "b/photo of a 1.jpg", "a/1.jpg2/x.jpg"):
        person = name.split("/")[0]
        rows.append(Row(name, person, "/p", "s", 1, (0.0,) * 4, 0.5, 1.0, digest(name.encode()), 1, 1))
    write_store(tmp_path / "s.h5", HEADER, zip(rows, vectors(5), strict=True), [])
    build(BuildConfig(stores=(tmp_path / "s.h5",), index=tmp_path / "i"))
    report = forget(ForgetConfig(index=tmp_path / "i", source="a/1.jpg", yes=True))
    assert report.done and report.index_rows == 1
    assert [row.source for row in Gallery(tmp_path / "i").rows()] == [row.source for row in rows[1:]]


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
    assert done.done and done.index_rows == 5 and any("is not there" in n.text for n in notes if isinstance(n, Note))
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


def test_needles_are_found_at_every_offset(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = bytearray(rng.bytes((1 << 22) + 5000))
    needles = [rng.bytes(int(n)) for n in rng.integers(8, 60, 40)]
    for needle, at in zip(
        needles[:20], [0, 101, (1 << 22) - 77, (1 << 22) - 9, *range(5000, 5000 + 16 * 61, 61)], strict=True
    ):
        content[at : at + len(needle)] = needle
    content[-len(needles[20]) :] = needles[20]
    (tmp_path / "hay").write_bytes(content)
    found = Needles(needles).in_file(tmp_path / "hay")
    assert found == {needle for needle in needles if needle in content}
    assert len(found) >= 20
    with pytest.raises(ValueError):
        Needles([b"short"])
