"""Grouping: people come out, what was named stays, and nothing depends on order, copies or runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.people_file import FILE, face_key, read_people, write_people
from cosface_cli.errors import BusyError, CosfaceError
from cosface_cli.index.people import ClusterConfig, ClusterReport
from cosface_cli.index.people.stage import cluster
from cosface_cli.outcomes import Done, Note, Outcome
from tests.index.made import index, people, photo, row

CROWD = {"ann": 6, "bo": 5, "cy": 4, "dee": 3, "eve": 1}


def run(config: ClusterConfig) -> tuple[ClusterReport, list[Any], list[str]]:
    told: list[Outcome] = []
    report = cluster(config, told.append)
    rows = [row for outcome in told if isinstance(outcome, Done) for row in outcome.rows]
    return report, rows, [outcome.text for outcome in told if isinstance(outcome, Note)]


def parts(rows: list[Any]) -> dict[int | None, set[str]]:
    found: dict[int | None, set[str]] = {}
    for one in rows:
        found.setdefault(one["cluster"], set()).add(one["identity"])
    return found


def test_people_come_out(tmp_path: Path) -> None:
    root = index(tmp_path / "i", people(CROWD))
    report, rows, _ = run(ClusterConfig(index=root))
    assert parts(rows) == {1: {"ann"}, 2: {"bo"}, 3: {"cy"}, 4: {"dee"}, None: {"eve"}}, "the largest first"
    assert (report.faces, report.clusters, report.fresh, report.single, report.min_cos) == (19, 4, 4, 1, 0.922)
    own = {one["source"]: one for one in rows}["ann/0.jpg"]
    others = np.mean([photo("ann", 0) @ photo("ann", number) for number in range(1, 6)])
    assert own["cos"] == pytest.approx(others, abs=1e-6) and not own["doubtful"]
    stored = read_people(root)
    assert [len(person.faces) for person in stored.persons.values()] == [6, 5, 4, 3] and stored.next_id == 5
    assert not any(person.held or person.name for person in stored.persons.values())
    before = (root / FILE).read_bytes()
    assert run(ClusterConfig(index=root))[1] == rows and (root / FILE).read_bytes() == before


def test_the_order_of_the_rows_changes_no_group(tmp_path: Path) -> None:
    faces = people(CROWD)
    shuffled = [faces[i] for i in np.random.default_rng(0).permutation(len(faces))]
    one, two = index(tmp_path / "1", faces), index(tmp_path / "2", shuffled)
    run(ClusterConfig(index=one)), run(ClusterConfig(index=two))
    assert {p.faces for p in read_people(one).persons.values()} == {p.faces for p in read_people(two).persons.values()}


def test_copies_of_a_photo_are_one_face(tmp_path: Path) -> None:
    faces = people({"ann": 2, "bo": 1})
    copies = [(replace(faces[2][0], source=f"copy/{n}.jpg"), faces[2][1]) for n in range(30)]
    _, rows, _ = run(ClusterConfig(index=index(tmp_path / "i", [*faces, *copies])))
    assert Counter(one["cluster"] for one in rows) == {1: 2, None: 31}, "a photo alone has no company in itself"
    copies = [(replace(faces[0][0], source=f"copy/{n}.jpg"), faces[0][1]) for n in range(30)]
    three = people({"ann": 3, "bo": 1})
    _, rows, _ = run(ClusterConfig(index=index(tmp_path / "j", [*three, *copies])))
    means = [np.mean([photo("ann", n) @ photo("ann", other) for other in range(3) if other != n]) for n in range(3)]
    assert [one["cos"] for one in rows[:3]] == pytest.approx(means, abs=1e-6), "and in a group it counts once"


def test_what_was_named_stays_and_takes_new_photos_in(tmp_path: Path) -> None:
    root = index(tmp_path / "i", people({"ann": 4, "bo": 3, "cy": 2}))
    run(ClusterConfig(index=root))
    known = read_people(root)
    ann = replace(known.persons[1], name="Ann", held=True)
    write_people(root, known.with_persons([ann]))
    # bo has most photos now, a new person has more than anybody, and ann some more
    index(root, people({"ann": 7, "bo": 9, "cy": 2, "new": 10}))
    report, rows, _ = run(ClusterConfig(index=root))
    assert parts(rows) == {1: {"ann"}, 2: {"bo"}, 3: {"cy"}, 4: {"new"}} and report.fresh == 1
    assert {one["name"] for one in rows if one["cluster"] == 1} == {"Ann"}
    again = read_people(root).persons[1]
    assert (again.name, again.held, len(again.faces)) == ("Ann", True, 7) and set(ann.faces) < set(again.faces)


def test_held_persons_are_never_joined_or_cut(tmp_path: Path) -> None:
    root = index(tmp_path / "i", people({"ann": 6, "bo": 4}))
    run(ClusterConfig(index=root))
    known = read_people(root)
    ann, bo = known.persons.values()
    halves = [replace(ann, held=True, faces=ann.faces[:3]), replace(ann, id=7, held=True, faces=ann.faces[3:])]
    both = replace(bo, held=True, faces=(*bo.faces, *list(ann.faces[:1])))
    halves[0] = replace(halves[0], faces=ann.faces[1:3])
    write_people(root, known.with_persons([*halves, replace(both, faces=tuple(sorted(both.faces)))]))
    want = {number: person.faces for number, person in read_people(root).persons.items()}
    run(ClusterConfig(index=root))
    assert {number: person.faces for number, person in read_people(root).persons.items()} == want


def test_names_outlive_faces_that_are_away_for_a_while(tmp_path: Path) -> None:
    faces = people({"ann": 4, "bo": 3})
    root = index(tmp_path / "i", faces)
    run(ClusterConfig(index=root))
    known = read_people(root)
    write_people(root, known.with_persons([replace(known.persons[1], name="Ann", held=True)]))
    index(root, people({"bo": 3}))
    _, rows, _ = run(ClusterConfig(index=root))
    assert parts(rows) == {2: {"bo"}} and read_people(root).persons[1].name == "Ann"
    ann = read_people(root).persons[1].faces
    index(root, people({"ann": 2, "bo": 3}))
    run(ClusterConfig(index=root))
    assert read_people(root).persons[1].faces == ann and len(ann) == 4, "also those of them that are away"
    index(root, faces)
    assert parts(run(ClusterConfig(index=root))[1]) == {1: {"ann"}, 2: {"bo"}}


def test_a_burst_is_joined_with_the_persons_other_photos(tmp_path: Path) -> None:
    """Forty frames of one moment have only each other for neighbours."""
    frames = []
    for moment in range(3):
        at = photo("ann", moment).astype(np.float64)
        for n in range(40):
            vector = at + 1e-3 * np.random.default_rng(40 * moment + n).normal(size=at.shape)
            frames.append((row("ann", 40 * moment + n), (vector / np.linalg.norm(vector)).astype(np.float32)))
    _, rows, _ = run(ClusterConfig(index=index(tmp_path / "i", [*frames, *people({"bo": 5})])))
    assert parts(rows) == {1: {"ann"}, 2: {"bo"}}


def test_a_doubtful_face_is_told(tmp_path: Path) -> None:
    root = index(tmp_path / "i", people({"ann": 5, "bo": 5}))
    run(ClusterConfig(index=root))
    ann, bo = read_people(root).persons.values()
    wrong = ann.faces[2]
    moved = replace(ann, faces=tuple(f for f in ann.faces if f != wrong))
    taken = replace(bo, held=True, faces=tuple(sorted((*bo.faces, wrong))))
    write_people(root, read_people(root).with_persons([moved, taken]))
    report, rows, _ = run(ClusterConfig(index=root))
    sources = {face_key(found): found.source for found, _ in people({"ann": 5})}
    assert [one["source"] for one in rows if one["doubtful"]] == [sources[wrong]] and report.doubtful == 1


def test_evaluated_against_folders_and_nothing_written(tmp_path: Path) -> None:
    mixed = [(replace(found, identity="bo"), vector) for found, vector in people({"bo2": 2})]
    unknown = [(replace(found, identity=None), vector) for found, vector in people({"x": 3})]
    root = index(tmp_path / "i", [*people({"ann": 3, "bo": 2}), *mixed, *unknown])
    report, rows, _ = run(ClusterConfig(index=root, evaluate=True))
    assert rows == [] and not (root / FILE).exists()
    assert (report.people, report.scored, report.clusters) == (2, 7, 4)
    # bo's four photos are in two groups of two: 3 + 1 + 1 pairs of 3 + 6
    assert (report.pair_precision, report.pair_recall) == (1.0, pytest.approx(5 / 9))
    assert report.bcubed_recall == pytest.approx((3 * 1 + 4 * 0.5) / 7)
    with pytest.raises(CosfaceError, match="no face has an identity"):
        run(ClusterConfig(index=index(tmp_path / "j", unknown), evaluate=True))


def test_a_model_without_threshold(tmp_path: Path) -> None:
    root = index(tmp_path / "i", people({f"p{n}": 3 for n in range(40)}), "other-01")
    report, _rows, notes = run(ClusterConfig(index=root))
    assert len(notes) == 1 and "no threshold is known for dlib (other-01, flip none)" in notes[0]
    assert 0.86 < report.min_cos < 0.97 and 35 <= report.clusters <= 40
    small = index(tmp_path / "j", people({"a": 3}), "other-01")
    with pytest.raises(CosfaceError, match="--min-cos"):
        run(ClusterConfig(index=small))
    assert run(ClusterConfig(index=small, min_cos=0.9))[0].clusters == 1
    with pytest.raises(CosfaceError, match=r"--min-cos must be at least -1 and at most 1, got 1\.5"):
        run(ClusterConfig(index=small, min_cos=1.5))


def test_min_size_and_an_empty_index(tmp_path: Path) -> None:
    root = index(tmp_path / "i", people(CROWD))
    assert run(ClusterConfig(index=root, min_size=4))[0].clusters == 3
    assert run(ClusterConfig(index=root, min_size=1))[0].single == 0
    assert run(ClusterConfig(index=index(tmp_path / "e", [])))[0] == ClusterReport(
        index=str(tmp_path / "e"), faces=0, clusters=0, fresh=0, single=0, doubtful=0, min_cos=0.922
    )


def test_links_to_the_photos(tmp_path: Path) -> None:
    faces = people({"ann": 3, "bo": 2}, root=tmp_path / "photos")
    for found, _ in faces[1:]:
        path = Path(found.root) / found.source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found.source)
    root, out = index(tmp_path / "i", faces), tmp_path / "out"
    _, _, notes = run(ClusterConfig(index=root, links=out))
    assert notes == [f"{out}: 4 links", f"1 photos could not be linked, the first is {tmp_path}/photos/ann/0.jpg"]
    assert {path.parent.name: path.read_text()[:2] for path in out.glob("*/*.jpg")} == {"1": "an", "2": "bo"}
    assert read_people(root).views == (str(out),)


def test_two_writers(tmp_path: Path) -> None:
    root = index(tmp_path / "i", people(CROWD))
    with atomic.lock(root / "index.json"), pytest.raises(BusyError):
        run(ClusterConfig(index=root))
    assert face_key(row("ann", 0)).endswith(":1") and not (root / FILE).exists()
