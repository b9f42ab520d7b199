"""people.jsonl of an index folder: the faces of each person, and the person's name.

A face is identified by the SHA-256 of its file and its number in the file, not by a row. So names stay valid when the
index is rebuilt, also from other stores or with another model. artifacts/README.md specifies the format.
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
_HINT = "restore it from a copy, or move it away: cosface index cluster then starts from nothing"


@dataclass(frozen=True, slots=True)
class Person:
    """A person of an index."""

    id: int
    """Unique in an index, also among persons that no longer exist."""
    name: str | None
    """None until a user sets it."""
    held: bool
    """Whether a user named, merged or split the person. Then clustering keeps its faces, and merges it with no other
    such person."""
    faces: tuple[str, ...]
    """Keys of the faces, sorted."""

    @property
    def label(self) -> str:
        """The name; the id if there is no name."""
        return str(self.id) if self.name is None else self.name


@dataclass(frozen=True, slots=True)
class People:
    """The content of people.jsonl."""

    persons: dict[int, Person] = field(default_factory=dict)
    """By id, in ascending order."""
    next_id: int = 1
    """The id of the next new person."""
    views: tuple[str, ...] = ()
    """Absolute paths of pages, and of folders of links, that show these faces. Forgetting a person deletes them."""

    def find(self, label: str, path: Path) -> Person:
        """The person with that name or id. Raises CosfaceError that suggests the most similar name."""
        for person in self.persons.values():
            if label in (person.name, str(person.id)):
                return person
        if not self.persons:
            raise CosfaceError("the faces are not grouped into people yet", path, f"cosface index cluster {path}")
        names = [person.name for person in self.persons.values() if person.name is not None]
        hint = suggest(label, names) if names and not label.isdecimal() else "see cosface index people list"
        raise CosfaceError(f"there is no person {label!r}", path, hint)

    def with_persons(self, changed: Iterable[Person], removed: Iterable[int] = ()) -> People:
        """A copy with these persons added or replaced, and without the removed ids."""
        persons = {**self.persons, **{person.id: person for person in changed}}
        for number in removed:
            del persons[number]
        ordered = {number: persons[number] for number in sorted(persons)}
        return replace(self, persons=ordered, next_id=max([self.next_id, *(number + 1 for number in ordered)]))

    def by_face(self) -> dict[str, Person]:
        """The person of each face, by the face's key."""
        return {face: person for person in self.persons.values() for face in person.faces}


def is_name(text: object) -> bool:
    """Whether text is a valid name: one line, no blanks at its ends, and not only digits, which would be an id."""
    return isinstance(text, str) and bool(text) and text == text.strip() and text.isprintable() and not text.isdecimal()


def face_key(row: FaceRow) -> str:
    """The key that identifies a face: SHA-256 of its file, and its number in the file."""
    return f"{row.hash}:{row.face}"


def read_people(root: Path) -> People:
    """The people of an index folder; no people if there is no file. Raises DamagedError."""
    path = root / FILE
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            return _read(file, path)
    except FileNotFoundError:
        return People()
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", path) from error


def write_people(root: Path, people: People) -> None:
    """Replace the people of an index folder, whole or not at all. The caller must hold the index's lock."""
    path = root / FILE
    with atomic.write_errors(path), atomic.replacing(path) as temp, temp.open("w", encoding="utf-8") as file:
        file.writelines(_lines(people))


def forget(root: Path, faces: Iterable[str]) -> int:
    """Remove faces from people.jsonl, and delete the pages and links that show them. Returns the number of faces.

    A person without remaining faces is removed, with the name. Pages and folders of links are deleted as a whole: they
    can be made again. Call it before the faces leave the index; after an interruption a second call finishes the work.
    The caller must hold the index's lock.
    """
    from cosface_cli.artifacts.files import links

    forgotten = set(faces)
    people = read_people(root)
    count = sum(face in forgotten for person in people.persons.values() for face in person.faces)
    for view in map(Path, people.views):
        if view.is_dir():
            links.remove(view, last_copies=True)
        else:
            view.unlink(missing_ok=True)
    remaining = {}
    for person in people.persons.values():
        rest = tuple(face for face in person.faces if face not in forgotten)
        if rest:
            remaining[person.id] = replace(person, faces=rest)
    if count or people.views:
        write_people(root, replace(people, persons=remaining, views=()))
    return count


def join(roots: Iterable[Path], target: Path) -> list[str]:
    """Add the people of several indexes to those of target. Returns a sentence for each change that loses information.

    The ids of the first index with people stay, those of the others are new. A face of two persons stays with the
    earlier one. Persons with the same name become one person. Faces that the target forgot are left out, and so are
    views. After an interruption a second call finishes the work. The caller must hold the locks, and must have joined
    the receipts.
    """
    taken = set(forgotten_keys(target))
    joined, words = People(), []
    for root in dict.fromkeys([target, *roots]):
        people, first = read_people(root), joined == People()
        by_name: dict[str | None, Person] = {p.name: p for p in joined.persons.values() if p.name is not None}
        changed, next_id = [], joined.next_id
        for person in people.persons.values():
            faces = tuple(face for face in person.faces if face not in taken)
            namesake = by_name.get(person.name)
            if namesake is not None:
                words.append(f"{root}: {person.name} is joined with {person.name} of an earlier index")
                both = tuple(sorted({*namesake.faces, *faces}))
                changed.append(replace(namesake, held=namesake.held or person.held, faces=both))
            elif faces:
                changed.append(replace(person, id=person.id if first else next_id, faces=faces))
                next_id = changed[-1].id + 1
            elif person.name is not None:
                words.append(f"{root}: {person.name} is left out: every face is forgotten or of an earlier person")
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
            raise CosfaceError("not a cosface people file", path, "move it away")
        if int(head["schema"]) > SCHEMA:
            raise CosfaceError("this file was written by a newer cosface", path, "pip install -U cosface")
        persons: dict[int, Person] = {}
        assigned: set[str] = set()
        names: set[str] = set()
        for text in lines:
            person = _person(json.loads(text))
            if person.id in persons or not assigned.isdisjoint(person.faces) or person.name in names:
                raise ValueError("an id, face or name occurs twice")
            assigned.update(person.faces)
            if person.name is not None:
                names.add(person.name)
            persons[person.id] = person
        next_id = int(head["next_id"])
        if persons and next_id <= max(persons):
            raise ValueError("next_id is in use")
        return People(persons, next_id, tuple(str(view) for view in head["views"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedError("damaged", path, _HINT) from error


def _person(values: dict[str, Any]) -> Person:
    person = Person(values["id"], values["name"], values["held"], tuple(values["faces"]))
    types_fit = type(person.id) is int and type(person.held) is bool and person.id > 0
    if not types_fit or not (person.name is None or is_name(person.name)) or not person.faces:
        raise ValueError("a field has a wrong type or value")
    if not all(isinstance(face, str) and _FACE.fullmatch(face) for face in person.faces):
        raise ValueError("not the key of a face")
    return person
