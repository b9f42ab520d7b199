"""Names and corrections of groups by the user. Each edit replaces people.jsonl in one step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.index_folder import MAIN, read_header
from cosface_cli.artifacts.index.people_file import People, Person, face_key, is_name, read_people, write_people
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people.index_faces import IndexFaces


def label(index: Path, who: str, name: str) -> Person:
    """Name a group, or rename a person. who: id or name. Raises CosfaceError if another person has the name."""
    require_name(name)
    with _editing(index) as edit:
        person = edit.people.find(who, index)
        other = next((p for p in edit.people.persons.values() if p.name == name and p.id != person.id), None)
        if other is not None:
            hint = f"if they are one person: cosface index people merge {index} {other.id} {person.id}"
            raise CosfaceError(f"person {other.id} already has the name {name!r}", index, hint)
        return edit.change(replace(person, name=name, held=True))


def merge_people(index: Path, who: str, others: Sequence[str]) -> Person:
    """Make one person of several, with the id of the first one, and the first name among all of them."""
    with _editing(index) as edit:
        persons = {person.id: person for person in (edit.people.find(each, index) for each in (who, *others))}
        if len(persons) < 2:
            raise CosfaceError("these are already one person", index, "give two or more persons, by id or name")
        first = next(iter(persons.values()))
        names = [person.name for person in persons.values() if person.name is not None]
        faces = sorted(face for person in persons.values() for face in person.faces)
        merged = replace(first, name=names[0] if names else None, held=True, faces=tuple(faces))
        return edit.change(merged, removed=[number for number in persons if number != first.id])


def split_person(index: Path, who: str, sources: Sequence[str], name: str | None = None) -> tuple[Person, Person]:
    """Move the faces of some photos from a person to a new person; returns the old and the new person.

    sources: as in the index; a source with the ending `#2` means only the second face of the photo.
    """
    if name is not None:
        require_name(name)
    with _editing(index) as edit:
        person = edit.people.find(who, index)
        if name is not None and any(p.name == name for p in edit.people.persons.values()):
            hint = "split without --name, then merge"
            raise CosfaceError(f"another person already has the name {name!r}", index, hint)
        moved = _faces_of_sources(index, person, sources)
        remaining = tuple(face for face in person.faces if face not in moved)
        if not remaining:
            raise CosfaceError(f"these are all faces of {person.label}", index, "leave one out, or use label")
        new = Person(edit.people.next_id, name, True, tuple(sorted(moved)))
        old = replace(person, held=True, faces=remaining)
        edit.change(old, new)
        return old, new


def list_people(index: Path) -> list[Person]:
    """The persons of an index, by id."""
    read_header(index)
    return list(read_people(index).persons.values())


def person_row(person: Person) -> dict[str, object]:
    """A person as a row of output."""
    return {"cluster": person.id, "name": person.name, "held": person.held, "faces": len(person.faces)}


def require_name(name: str) -> None:
    """Raises CosfaceError for a text that cannot be a name."""
    if not is_name(name):
        problem = f"{name!r} cannot be a name"
        raise CosfaceError(problem, hint="give one line of text that is not only digits, which are ids")


class _Edit:
    """The people of an index while its lock is held."""

    def __init__(self, index: Path) -> None:
        self._index = index
        self.people: People = read_people(index)

    def change(self, *persons: Person, removed: Sequence[int] = ()) -> Person:
        """Write changed and new persons; returns the first of them."""
        self.people = self.people.with_persons(persons, removed)
        write_people(self._index, self.people)
        return persons[0]


@contextmanager
def _editing(index: Path) -> Iterator[_Edit]:
    read_header(index)
    with atomic.lock(index / MAIN):
        yield _Edit(index)


def _faces_of_sources(index: Path, person: Person, sources: Sequence[str]) -> set[str]:
    """The person's faces in these sources. Raises CosfaceError for a source without one."""
    of_person = set(person.faces)
    by_source: dict[str, set[str]] = {source: set() for source in sources}
    for row in IndexFaces(index).rows():
        for name in (row.source, f"{row.source}#{row.face}"):
            if name in by_source and face_key(row) in of_person:
                by_source[name].add(face_key(row))
    for source, faces in by_source.items():
        if not faces:
            hint = "give photos as cosface index cluster prints them"
            raise CosfaceError(f"{person.label} has no face in {source!r}", index, hint)
    return set().union(*by_source.values())
