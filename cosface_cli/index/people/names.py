"""What people say of the groups: names, corrections. Each is one step: people.jsonl is the old one or the new one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.index_folder import MAIN, read_header
from cosface_cli.artifacts.index.people_file import People, Person, face_key, is_name, read_people, write_people
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people.faces import Faces


def label(index: Path, who: str, name: str) -> Person:
    """Name a group, or rename a person. who: id or name. Raises CosfaceError where somebody else is called so."""
    require_name(name)
    with _editing(index) as edit:
        person = edit.people.find(who, index)
        other = next((p for p in edit.people.persons.values() if p.name == name and p.id != person.id), None)
        if other is not None:
            hint = f"for one person: cosface index people merge {index} {other.id} {person.id}"
            raise CosfaceError(f"{other.id} is called {name!r} already", index, hint)
        return edit.change(replace(person, name=name, held=True))


def merge(index: Path, who: str, others: Sequence[str]) -> Person:
    """Make one person of several: with the first one's id, and its name or else the first that one of them has."""
    with _editing(index) as edit:
        persons = {person.id: person for person in (edit.people.find(called, index) for called in (who, *others))}
        if len(persons) < 2:
            raise CosfaceError("that is one person only", index, "name two or more, by id or name")
        first = next(iter(persons.values()))
        names = [person.name for person in persons.values() if person.name is not None]
        faces = sorted(face for person in persons.values() for face in person.faces)
        merged = replace(first, name=names[0] if names else None, held=True, faces=tuple(faces))
        return edit.change(merged, gone=[number for number in persons if number != first.id])


def split(index: Path, who: str, sources: Sequence[str], name: str | None = None) -> tuple[Person, Person]:
    """Take the faces of some photos out of a person and make a new one of them; gives who is left, and the new one.

    sources: names as the index has them, with `#2` behind them for the second face of a photo alone.
    """
    if name is not None:
        require_name(name)
    with _editing(index) as edit:
        person = edit.people.find(who, index)
        if name is not None and any(p.name == name for p in edit.people.persons.values()):
            raise CosfaceError(f"somebody is called {name!r} already", index, "split without a name, then merge")
        out = _chosen(index, person, sources)
        left = tuple(face for face in person.faces if face not in out)
        if not left:
            raise CosfaceError(f"these are all faces of {person.called}", index, "leave one out, or use label")
        new = Person(edit.people.next_id, name, True, tuple(sorted(out)))
        old = replace(person, held=True, faces=left)
        edit.change(old, new)
        return old, new


def listed(index: Path) -> list[dict[str, Any]]:
    """One row a person."""
    read_header(index)
    return [output(person) for person in read_people(index).persons.values()]


def output(person: Person) -> dict[str, Any]:
    """A person as a row of output."""
    return {"cluster": person.id, "name": person.name, "held": person.held, "faces": len(person.faces)}


def require_name(name: str) -> None:
    """Raises CosfaceError for what nobody can be called."""
    if not is_name(name):
        problem = f"nobody can be called {name!r}"
        raise CosfaceError(problem, hint="give one line of text that is not only digits, which are ids")


class _Edit:
    """The people of an index under its lock."""

    def __init__(self, index: Path) -> None:
        self._index = index
        self.people: People = read_people(index)

    def change(self, *persons: Person, gone: Sequence[int] = ()) -> Person:
        """Write changed and new persons, the first of which is given back."""
        self.people = self.people.with_persons(persons, gone)
        write_people(self._index, self.people)
        return persons[0]


@contextmanager
def _editing(index: Path) -> Iterator[_Edit]:
    read_header(index)
    with atomic.lock(index / MAIN):
        yield _Edit(index)


def _chosen(index: Path, person: Person, sources: Sequence[str]) -> set[str]:
    """The person's faces of these sources. Raises CosfaceError for a source without one."""
    own = set(person.faces)
    found: dict[str, set[str]] = {source: set() for source in sources}
    faces = Faces(index)
    for row in faces.rows():
        for called in (row.source, f"{row.source}#{row.face}"):
            if called in found and face_key(row) in own:
                found[called].add(face_key(row))
    for source, chosen in found.items():
        if not chosen:
            hint = "give photos as cosface index cluster prints them"
            raise CosfaceError(f"{person.called} has no face of {source!r}", index, hint)
    return set().union(*found.values())
