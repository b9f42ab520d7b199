"""people.jsonl: what is written is read, what is damaged is refused, and who is forgotten leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cosface_cli.artifacts.files.links import replace_links
from cosface_cli.artifacts.index.forgotten import write_receipt
from cosface_cli.artifacts.index.people_file import FILE, People, Person, forget, join, read_people, write_people
from cosface_cli.errors import CosfaceError, DamagedError


def face(number: int) -> str:
    return f"{number:064x}:1"


def some() -> People:
    persons = [
        Person(2, 'Ann, "Lee"', True, (face(1), face(2))),
        Person(5, None, False, (face(3),)),
        Person(9, "人 é", True, (face(4), face(5), face(6))),
    ]
    return People({person.id: person for person in persons}, 12, ("/a/page.html",))


def test_it_comes_back(tmp_path: Path):
    assert read_people(tmp_path) == People()
    write_people(tmp_path, some())
    assert read_people(tmp_path) == some() and [path.name for path in tmp_path.iterdir()] == [FILE]
    first = (tmp_path / FILE).read_bytes()
    write_people(tmp_path, read_people(tmp_path))
    assert (tmp_path / FILE).read_bytes() == first
    head, *lines = (tmp_path / FILE).read_text("utf-8").splitlines()
    assert json.loads(head) == {"kind": "cosface people", "schema": 1, "next_id": 12, "views": ["/a/page.html"]}
    assert json.loads(lines[1]) == {"id": 5, "name": None, "held": False, "faces": [face(3)]}


def test_found_by_name_or_id(tmp_path: Path):
    people = some()
    assert people.find("5", tmp_path).id == 5 and people.find('Ann, "Lee"', tmp_path).id == 2
    with pytest.raises(CosfaceError, match="did you mean"):
        people.find("Ann, Lee", tmp_path)
    with pytest.raises(CosfaceError, match="no person '7'"):
        people.find("7", tmp_path)
    with pytest.raises(CosfaceError, match="not grouped into people yet"):
        People().find("Ann", tmp_path)


def test_ids_are_never_given_again():
    people = some().with_persons([], removed=[9])
    assert people.next_id == 12 and list(people.persons) == [2, 5]
    people = people.with_persons([Person(12, None, False, (face(9),))])
    assert people.next_id == 13 and list(people.persons) == [2, 5, 12]


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [],
        lambda lines: ["[]"],
        lambda lines: [lines[0], lines[1], lines[1]],
        lambda lines: [*lines, lines[2].replace('"id":5', '"id":6')],
        lambda lines: [lines[0].replace("12", "9"), *lines[1:]],
        lambda lines: [lines[0].replace("12", '"x"'), *lines[1:]],
        lambda lines: [*lines[:-1], lines[-1][:40]],
        lambda lines: [line.replace('"held":true', '"held":1') for line in lines],
        lambda lines: [line.replace('"id":5', '"id":"5"') for line in lines],
        lambda lines: [line.replace('"name":null', '"name":""') for line in lines],
        lambda lines: [line.replace('"name":null', '"name":"77"') for line in lines],
        lambda lines: [line.replace('"name":null', '"name":"a\\nb"') for line in lines],
        lambda lines: [line.replace("03:1", "03") for line in lines],
        lambda lines: [line.replace(":1", ":../x") for line in lines],
        lambda lines: [*lines, "[" * 100_000],
        lambda lines: [*lines, '{"id":' + "9" * 10_000 + "}"],
    ],
)
def test_damage_is_told(tmp_path: Path, change):
    write_people(tmp_path, some())
    lines = (tmp_path / FILE).read_text("utf-8", "surrogateescape").splitlines()
    (tmp_path / FILE).write_text("\n".join(change(lines)) + "\n", "utf-8", "surrogateescape")
    with pytest.raises(DamagedError, match=r"people\.jsonl: damaged"):
        read_people(tmp_path)


def test_a_stranger_and_a_newer_one(tmp_path: Path):
    (tmp_path / FILE).write_text('{"kind": "other"}\n')
    with pytest.raises(CosfaceError, match="not a cosface people file"):
        read_people(tmp_path)
    (tmp_path / FILE).write_text('{"kind": "cosface people", "schema": 2}\n')
    with pytest.raises(CosfaceError, match="newer"):
        read_people(tmp_path)


def test_who_is_forgotten_leaves_nothing(tmp_path: Path):
    index, views, photos = tmp_path / "i", tmp_path / "views", tmp_path / "photos"
    for folder in (index, views, photos):
        folder.mkdir()
    (photos / "ann.jpg").write_bytes(b"ann")
    page = views / "page.html"
    page.write_text("ann")
    replace_links(views / "links", [("Ann", photos / "ann.jpg")], hard=True)
    (photos / "ann.jpg").unlink()  # the link is the last copy now
    people = some()
    write_people(index, People(people.persons, people.next_id, (str(page), str(views / "links"), "/nowhere/x")))
    assert forget(index, [face(1), face(2), face(4), face(77)]) == 3
    left = read_people(index)
    assert left == People({5: people.persons[5], 9: Person(9, "人 é", True, (face(5), face(6)))}, 12)
    text = (index / FILE).read_text("utf-8", "surrogateescape")
    assert not any(part in text for part in ("Ann", face(1), face(2), face(4)))
    assert not page.exists() and not [path for path in views.rglob("*") if path.is_file()]
    before = (index / FILE).stat().st_mtime_ns
    assert forget(index, [face(1)]) == 0 and (index / FILE).stat().st_mtime_ns == before
    assert forget(tmp_path, [face(1)]) == 0 and not (tmp_path / FILE).exists()


def written(root: Path, *persons: Person, next_id: int = 20, views: tuple[str, ...] = ()) -> Path:
    root.mkdir()
    write_people(root, People({person.id: person for person in persons}, next_id, views))
    return root


def test_people_of_several_indexes(tmp_path: Path):
    one = written(tmp_path / "one", *some().persons.values(), views=("/a/page.html",))
    two = written(
        tmp_path / "two",
        Person(2, "Bo", False, (face(5), face(7), face(8))),
        Person(3, 'Ann, "Lee"', False, (face(3), face(9))),
        Person(4, None, True, (face(6),)),
        Person(6, "Cy", True, (face(1), face(10))),
        Person(7, None, False, (face(11), face(12))),
    )
    nobody = tmp_path / "nobody"
    nobody.mkdir()
    target = tmp_path / "target"
    target.mkdir()
    write_receipt(target, {"faces": [face(10), face(12), face(4)]})
    words = join([one, two, nobody], target)
    want = [
        Person(2, 'Ann, "Lee"', True, (face(1), face(2), face(9))),  # face 3 was somebody's before
        Person(5, None, False, (face(3),)),
        Person(9, "人 é", True, (face(5), face(6))),
        Person(20, "Bo", False, (face(7), face(8))),
        Person(21, None, False, (face(11),)),
    ]
    assert list(read_people(target).persons.values()) == want
    assert (read_people(target).next_id, read_people(target).views) == (22, ())
    assert words == [
        f'{two}: Ann, "Lee" is joined with Ann, "Lee" of an earlier index',
        f"{two}: Cy is left out: every face is forgotten or of an earlier person",
    ]
    first = (target / FILE).read_bytes()
    join([one, two, nobody], target)  # after kill -9, say
    assert (target / FILE).read_bytes() == first
    assert join([nobody], tmp_path / "nobody") == [] and list(nobody.iterdir()) == []
