"""Names as a spreadsheet: one line a face. What is exported can be imported into any index of the same photos."""

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
from cosface_cli.index.people.faces import Faces
from cosface_cli.outcomes import Done, OnOutcome, Rejected, ignore

COLUMNS = ("cluster", "name", "source", "face", "hash")


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    name: str
    source: str
    face: int
    hash: str


def export_names(index: Path, table: Path) -> int:
    """Write all persons to a CSV file (UTF-8, a line a face, in order of ids), and give their faces' number.

    A face that the index does not hold now has no source.
    """
    people = read_people(index)
    faces = Faces(index)
    sources: dict[str, str] = {}
    for row in faces.rows():
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
    """Give names to faces by a CSV file; one outcome a line, and the persons that were changed or are new.

    Columns: name, and hash (with face) or source; without `face` all faces of a source are meant. A face goes to the
    person of that name, who is made where there is none, and leaves the one it was with. Lines without a name are
    passed over; one whose face is not in the index is Rejected. The rest is written in one step.
    """
    lines = list(_read(table))
    with atomic.lock(index / MAIN):
        people = read_people(index)
        faces = Faces(index)
        by_source: dict[tuple[str, int], list[str]] = {}
        keys = set()
        for row in faces.rows():
            key = face_key(row)
            keys.add(key)
            for face in (0, row.face):
                by_source.setdefault((row.source, face), []).append(key)
        keys.update(people.of_faces())
        names: dict[str, str] = {}  # by face, its new name: the last line holds
        for line in lines:
            own = f"{line.hash}:{line.face or 1}"
            meant = [own] if own in keys else by_source.get((line.source, line.face), [])
            where = f"{table} line {line.number}"
            if meant:
                names.update(dict.fromkeys(meant, line.name))
                told: Done | Rejected = Done(where)
            else:
                told = Rejected(where, "unknown_face", f"{where}: no face of {line.source or own!r} is in {index}")
            emit(told)
        changed = _moved(people.persons, people.next_id, names)
        gone = [number for number, person in changed.items() if not person.faces]
        kept = [person for person in changed.values() if person.faces]
        write_people(index, people.with_persons(kept, gone))
    return kept


def _moved(persons: dict[int, Person], next_id: int, names: dict[str, str]) -> dict[int, Person]:
    """The persons that change where faces (by key) get names; without faces where they lost all."""
    changed: dict[int, Person] = {}
    for person in persons.values():
        left = tuple(face for face in person.faces if names.get(face, person.name) == person.name)
        if left != person.faces:
            changed[person.id] = replace(person, faces=left)
    of_name = {person.name: person.id for person in persons.values() if person.name is not None}
    wanted: dict[str, set[str]] = {}
    for face, name in names.items():
        wanted.setdefault(name, set()).add(face)
    for name, faces in wanted.items():
        number = of_name.get(name)
        if number is None:
            number, next_id = next_id, next_id + 1
            changed[number] = Person(number, name, True, tuple(sorted(faces)))
        else:
            before = changed.get(number, persons[number])
            changed[number] = replace(before, held=True, faces=tuple(sorted({*before.faces, *faces})))
    return changed


def _read(table: Path) -> Iterator[_Line]:
    try:
        with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = set(reader.fieldnames or ())
            if "name" not in columns or not columns & {"hash", "source"}:
                raise CosfaceError("a column is missing", table, "its first line names name, and hash or source")
            for values in reader:
                name = (values.get("name") or "").strip()
                if not name:
                    continue
                face = (values.get("face") or "").strip()
                if not is_name(name) or not (face == "" or (face.isascii() and face.isdecimal() and len(face) < 9)):
                    raise CosfaceError(f"line {reader.line_num}: not a name, or not a face's number", table)
                source, digest = values.get("source") or "", (values.get("hash") or "").strip().lower()
                yield _Line(reader.line_num, name, source, int(face or 0), digest)
    except OSError as error:
        raise CosfaceError(f"cannot be read ({error.strerror})", table) from error
    except csv.Error as error:
        raise CosfaceError(f"not a CSV file ({error})", table) from error
