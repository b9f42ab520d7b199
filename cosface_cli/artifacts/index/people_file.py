"""people.jsonl of an index folder: which faces are one person, and who that is.

A face is known by the SHA-256 of its file and its number in it, never by a row: so names outlive a rebuild of the
index, other stores, and another model. README.md beside this file specifies the format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.crops.manifest import line
from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.forgotten import forgotten_keys
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.registry import suggest

SCHEMA = 1
KIND = "cosface people"
FILE = "people.jsonl"
_FACE = re.compile(r"[0-9a-f]{64}:[0-9]+")
_HINT = "restore it from a copy, or move it away: cosface index cluster begins anew"


@dataclass(frozen=True, slots=True)
class Person:
    """Faces that are considered one person."""

    id: int
    """Never given twice in an index."""
    name: str | None
    """None until a user gives one."""
    held: bool
    """Whether a user named, merged or split it: such persons keep their faces and are never joined with each other."""
    faces: tuple[str, ...]
    """Sorted keys of faces."""

    @property
    def called(self) -> str:
        """The name, or the id."""
        return str(self.id) if self.name is None else self.name


@dataclass(frozen=True, slots=True)
class People:
    """The content of people.jsonl."""

    persons: dict[int, Person] = field(default_factory=dict)
    """By id, in ascending order."""
    next_id: int = 1
    """The id of the next new person."""
    views: tuple[str, ...] = ()
    """Absolute paths of pages and folders of links that show them; forgetting a person deletes these."""

    def find(self, called: str, path: Path) -> Person:
        """The person of that name or id. Raises CosfaceError with the near miss."""
        for person in self.persons.values():
            if called in (person.name, str(person.id)):
                return person
        if not self.persons:
            raise CosfaceError("nobody is grouped here yet", path, f"cosface index cluster {path}")
        names = [person.name for person in self.persons.values() if person.name is not None]
        hint = suggest(called, names) if names and not called.isdecimal() else "see cosface index people list"
        raise CosfaceError(f"there is no person {called!r}", path, hint)

    def with_persons(self, changed: Iterable[Person], gone: Iterable[int] = ()) -> People:
        """The same with some persons new or changed, and some gone."""
        persons = {**self.persons, **{person.id: person for person in changed}}
        for number in gone:
            del persons[number]
        ordered = {number: persons[number] for number in sorted(persons)}
        return replace(self, persons=ordered, next_id=max([self.next_id, *(number + 1 for number in ordered)]))

    def of_faces(self) -> dict[str, Person]:
        """By face, its person."""
        return {face: person for person in self.persons.values() for face in person.faces}


def is_name(text: object) -> bool:
    """Whether a person can be called so: one line, not blank at its ends, and not only digits, which are ids."""
    return isinstance(text, str) and bool(text) and text == text.strip() and text.isprintable() and not text.isdecimal()


def face_key(row: FaceRow) -> str:
    """What a face is known by."""
    return f"{row.hash}:{row.face}"


def read_people(root: Path) -> People:
    """The people of an index folder; nobody where there is no file. Raises DamagedError."""
    path = root / FILE
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            return _read(file, path)
    except FileNotFoundError:
        return People()
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error


def write_people(root: Path, people: People) -> None:
    """Replace the people of an index folder, whole or not at all; the caller holds the index's lock."""
    path = root / FILE
    with atomic.write_errors(path), atomic.replacing(path) as temp, temp.open("w", encoding="utf-8") as file:
        file.writelines(_lines(people))


def forget(root: Path, faces: Iterable[str]) -> int:
    """Take faces out of people.jsonl, and away what shows them; gives how many there were. The caller holds the lock.

    A person without faces left goes, with the name. Pages, and folders of links, are taken away whole: they can be made
    again. To be called before the faces leave the index; a second call finishes what a stopped one began.
    """
    from cosface_cli.artifacts.files import links

    out = set(faces)
    people = read_people(root)
    found = sum(face in out for person in people.persons.values() for face in person.faces)
    for view in map(Path, people.views):
        if view.is_dir():
            links.remove(view, last_copies=True)
        else:
            view.unlink(missing_ok=True)
    kept = {}
    for person in people.persons.values():
        rest = tuple(face for face in person.faces if face not in out)
        if rest:
            kept[person.id] = replace(person, faces=rest)
    if found or people.views:
        write_people(root, replace(people, persons=kept, views=()))
    return found


def join(roots: Iterable[Path], target: Path) -> list[str]:
    """Add the people of several indexes to another's, and say in words what could not stay as it was.

    The first people's ids stay, others are new. A face that stands in two is the earlier one's; people of one name are
    one. What the target forgot is left out, and so are views. The caller holds the locks, and has joined the receipts.
    A second call finishes what a stopped one began.
    """
    taken = set(forgotten_keys(target))
    joined, words = People(), []
    for root in dict.fromkeys([target, *roots]):
        people, first = read_people(root), joined == People()
        named: dict[str | None, Person] = {p.name: p for p in joined.persons.values() if p.name is not None}
        changed, next_id = [], joined.next_id
        for person in people.persons.values():
            faces = tuple(face for face in person.faces if face not in taken)
            namesake = named.get(person.name)
            if namesake is not None:
                words.append(f"{root}: {person.name} is taken for the {person.name} of an index before")
                both = tuple(sorted({*namesake.faces, *faces}))
                changed.append(replace(namesake, held=namesake.held or person.held, faces=both))
            elif faces:
                changed.append(replace(person, id=person.id if first else next_id, faces=faces))
                next_id = changed[-1].id + 1
            elif person.name is not None:
                words.append(f"{root}: no face of {person.name} is left that is not forgotten or of somebody before")
        taken.update(face for person in changed for face in person.faces)
        joined = replace(joined.with_persons(changed), views=people.views if root == target else joined.views)
        joined = replace(joined, next_id=people.next_id) if first else joined
    if joined != People():
        write_people(target, joined)
    return words


def _lines(people: People) -> Iterator[str]:
    yield line({"kind": KIND, "schema": SCHEMA, "next_id": people.next_id, "views": people.views})
    for person in people.persons.values():
        yield line({"id": person.id, "name": person.name, "held": person.held, "faces": person.faces})


def _read(file: Iterable[str], path: Path) -> People:
    lines = iter(file)
    try:
        head: dict[str, Any] = json.loads(next(lines, ""))
        if head.get("kind") != KIND:
            raise CosfaceError("not the people of a cosface index", path, "move it away")
        if int(head["schema"]) > SCHEMA:
            raise CosfaceError("these people were written by a newer cosface", path, "pip install -U cosface")
        persons: dict[int, Person] = {}
        seen: set[str] = set()
        names: set[str] = set()
        for text in lines:
            person = _person(json.loads(text))
            if person.id in persons or not seen.isdisjoint(person.faces) or person.name in names:
                raise ValueError("somebody stands there twice")
            seen.update(person.faces)
            if person.name is not None:
                names.add(person.name)
            persons[person.id] = person
        next_id = int(head["next_id"])
        if persons and next_id <= max(persons):
            raise ValueError("the next id is taken")
        return People(persons, next_id, tuple(str(view) for view in head["views"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError("damaged", path, _HINT) from error


def _person(values: dict[str, Any]) -> Person:
    person = Person(values["id"], values["name"], values["held"], tuple(values["faces"]))
    fine = type(person.id) is int and type(person.held) is bool and person.id > 0
    if not fine or not (person.name is None or is_name(person.name)) or not person.faces:
        raise ValueError("a field of another kind")
    if not all(isinstance(face, str) and _FACE.fullmatch(face) for face in person.faces):
        raise ValueError("no face's key")
    return person
