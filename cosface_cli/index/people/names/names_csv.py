"""Names as a CSV file, one line per face. An exported file can be imported into any index of the same photos."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.index.index_folder import MAIN
from cosface_cli.artifacts.index.people_file import Person, face_key, is_name, read_people, write_people
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people.index_faces import IndexFaces
from cosface_cli.outcomes import Done, OnOutcome, Rejected, ignore

COLUMNS = ("cluster", "name", "source", "face", "hash")


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the file that has a name."""

    number: int
    name: str
    source: str
    face: int
    """The number of the face in its photo; 0 for all faces."""
    hash: str


def export_names(index: Path, table: Path) -> int:
    """Write all persons to a CSV file (UTF-8, one line per face, in order of ids); returns the number of faces.

    A face that is not in the index at present has no source.
    """
    people = read_people(index)
    sources: dict[str, str] = {}
    for row in IndexFaces(index).rows():
        sources.setdefault(face_key(row), row.source)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    count = 0
    for person in people.persons.values():
        for key in person.faces:
            digest, _, face = key.partition(":")
            writer.writerow((person.id, person.name or "", sources.get(key, ""), face, digest))
            count += 1
    atomic.write_text(table, text.getvalue())
    return count


def import_names(index: Path, table: Path, emit: OnOutcome = ignore) -> list[Person]:
    """Name faces according to a CSV file, with one outcome per line. Returns the changed and the new persons.

    Columns: name, and hash (with face) or source; without `face` a line is for all faces of its source. A face moves
    from its person to the person of that name, who is created if there is none. Lines without a name are skipped; a
    line whose face is not in the index is Rejected. All changes are written in one step.
    """
    lines = list(_read_lines(table))
    with atomic.lock(index / MAIN):
        people = read_people(index)
        by_source: dict[tuple[str, int], list[str]] = {}
        known = set(people.by_face())
        for row in IndexFaces(index).rows():
            key = face_key(row)
            known.add(key)
            for face in (0, row.face):
                by_source.setdefault((row.source, face), []).append(key)
        names: dict[str, str] = {}  # by face, its new name: the last line counts
        for line in lines:
            key = f"{line.hash}:{line.face or 1}"
            faces = [key] if key in known else by_source.get((line.source, line.face), [])
            names.update(dict.fromkeys(faces, line.name))
            emit(_outcome(table, line, key, faces, index))
        changed = _renamed(people.persons, people.next_id, names)
        removed = [number for number, person in changed.items() if not person.faces]
        remaining = [person for person in changed.values() if person.faces]
        write_people(index, people.with_persons(remaining, removed))
    return remaining


def _outcome(table: Path, line: _Line, key: str, faces: list[str], index: Path) -> Done | Rejected:
    place = f"{table} line {line.number}"
    if faces:
        return Done(place)
    return Rejected(place, "unknown_face", f"{place}: no face of {line.source or key!r} is in {index}")


def _renamed(persons: dict[int, Person], next_id: int, names: dict[str, str]) -> dict[int, Person]:
    """The persons that change when faces (by key) get names; a person that loses all faces has none."""
    changed: dict[int, Person] = {}
    for person in persons.values():
        remaining = tuple(face for face in person.faces if names.get(face, person.name) == person.name)
        if remaining != person.faces:
            changed[person.id] = replace(person, faces=remaining)
    id_of_name = {person.name: person.id for person in persons.values() if person.name is not None}
    faces_of_name: dict[str, set[str]] = {}
    for face, name in names.items():
        faces_of_name.setdefault(name, set()).add(face)
    for name, faces in faces_of_name.items():
        number = id_of_name.get(name)
        if number is None:
            number, next_id = next_id, next_id + 1
            changed[number] = Person(number, name, True, tuple(sorted(faces)))
        else:
            before = changed.get(number, persons[number])
            changed[number] = replace(before, held=True, faces=tuple(sorted({*before.faces, *faces})))
    return changed


def _read_lines(table: Path) -> Iterator[_Line]:
    """The lines with a name. Raises CosfaceError for a file of another format."""
    try:
        with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = set(reader.fieldnames or ())
            if "name" not in columns or not columns & {"hash", "source"}:
                hint = "its first line must have the columns name, and hash or source"
                raise CosfaceError("a column is missing", table, hint)
            for values in reader:
                name = (values.get("name") or "").strip()
                if not name:
                    continue
                face = (values.get("face") or "").strip()
                if not is_name(name):
                    raise CosfaceError(f"line {reader.line_num}: {name!r} cannot be a name", table)
                if not (face == "" or (face.isascii() and face.isdecimal() and len(face) < 9)):
                    raise CosfaceError(f"line {reader.line_num}: face must be a number, got {face[:20]!r}", table)
                source, digest = values.get("source") or "", (values.get("hash") or "").strip().lower()
                yield _Line(reader.line_num, name, source, int(face or 0), digest)
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", table) from error
    except csv.Error as error:
        raise CosfaceError(f"not a CSV file ({error})", table) from error
