"""The faces of an index to people: grouped anew, but what people have named or corrected stays as they left it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.files.links import replace_links
from cosface_cli.artifacts.index.index_folder import MAIN, read_header
from cosface_cli.artifacts.index.people_file import People, Person, read_people, write_people
from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import ClusterConfig, ClusterReport
from cosface_cli.index.people.faces import Faces
from cosface_cli.index.people.grouping import Groups, grouped
from cosface_cli.index.people.page import write_people_page
from cosface_cli.index.people.threshold import least_cosine
from cosface_cli.maths.clustering import agreement
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, Progress, ignore


def cluster(config: ClusterConfig, emit: OnOutcome = ignore) -> ClusterReport:
    """Group the faces of an index and write people.jsonl; one Done a face, in the index's order.

    Persons that people named, merged or split keep their faces and ids, and only gain faces; the others are grouped
    anew, and a group has the id of the old one that it shares most faces with. The same index and people give the same
    groups. Raises CosfaceError for a folder that is no index, BusyError where somebody else writes there.
    """
    if config.min_size < 1:
        raise CosfaceError(f"--min-size {config.min_size} is no size", hint="give 1 or more")
    if config.evaluate:
        return _evaluated(config, emit)
    read_header(config.index)
    with atomic.lock(config.index / MAIN):
        faces = Faces(config.index)  # under the lock: nobody is forgotten between reading and writing
        least = least_cosine(faces, config.min_cos, emit)
        keys = faces.keys()
        before = read_people(config.index)
        groups = _grouped(faces, keys, before, least, emit)
        people, placed = _named(before, keys, groups, config.min_size)
        views = {str(path.absolute()) for path in (config.links, config.page) if path is not None}
        # before there is anything to see, so that whoever is forgotten is taken out of it
        write_people(config.index, replace(people, views=tuple(sorted({*before.views, *views}))))
        if config.links is not None:
            _link(config, faces, placed, emit)
        if config.page is not None:
            write_people_page(config.page, faces, groups, placed, _doubtful(groups, placed, least), least)
            emit(Note(f"page: {config.page}"))
    doubtful = _doubtful(groups, placed, least)
    emit(Planned(len(keys)))
    for number, row in enumerate(faces.rows()):
        person = placed[number]
        emit(Done(row.source, (_output(row, person, float(groups.own[number]), bool(doubtful[number])),)))
    ids = {person.id for person in placed if person is not None}
    single = sum(person is None for person in placed)
    fresh = len(ids - set(before.persons))
    return ClusterReport(str(config.index), len(keys), len(ids), fresh, single, int(doubtful.sum()), least)


def _evaluated(config: ClusterConfig, emit: OnOutcome) -> ClusterReport:
    faces = Faces(config.index)
    least = least_cosine(faces, config.min_cos, emit)
    keys = faces.keys()
    groups = _grouped(faces, keys, People(), least, emit)
    truth = []
    for row in faces.rows():
        truth.append(row.identity)
        emit(Done(row.source))
    known = np.array([identity is not None for identity in truth], bool)
    if not known.any():
        raise CosfaceError("no face here has a folder to be scored against", config.index, "index photos of people")
    names, people = np.unique([identity for identity in truth if identity is not None], return_inverse=True)
    _, placed = _named(People(), keys, groups, config.min_size)
    ids = {person.id for person in placed if person is not None}
    return ClusterReport(
        str(config.index),
        len(keys),
        len(ids),
        len(ids),
        sum(person is None for person in placed),
        int(_doubtful(groups, placed, least).sum()),
        least,
        people=len(names),
        scored=int(known.sum()),
        **asdict(agreement(people, groups.of[known])),
    )


def _doubtful(groups: Groups, placed: list[Person | None], least: float) -> NDArray[np.bool_]:
    """Faces (N,) that are nearer to another group than to their own, or far from their own."""
    in_one = np.array([person is not None for person in placed], bool)
    return in_one & ((groups.own < least) | (groups.other > groups.own))


def _link(config: ClusterConfig, faces: Faces, placed: list[Person | None], emit: OnOutcome) -> None:
    assert config.links is not None
    pairs = zip(faces.rows(), placed, strict=True)
    wanted = ((person.called, Path(row.root) / row.source) for row, person in pairs if person is not None)
    count, missing = replace_links(config.links, dict.fromkeys(wanted), config.hard)
    emit(Note(f"{config.links}: {count} links"))
    if missing:
        emit(Note(f"{len(missing)} photos could not be linked, the first is {missing[0]}"))


def _grouped(faces: Faces, keys: list[str], people: People, least: float, emit: OnOutcome) -> Groups:
    numbers: dict[str, int] = {}
    same = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    given = np.full(len(numbers), -1, np.int64)
    count = 0
    for person in people.persons.values():
        if person.held:
            own = [numbers[face] for face in person.faces if face in numbers]
            given[own] = count
            count += bool(own)
    free = np.flatnonzero(given < 0)
    given[free] = count + np.arange(len(free))
    held = np.zeros(count + len(free), bool)
    held[:count] = True
    return grouped(faces, same, given, held, least, lambda done: emit(Progress(done, len(keys))))


def _named(before: People, keys: list[str], groups: Groups, min_size: int) -> tuple[People, list[Person | None]]:
    """The people after grouping, and the person of each face."""
    number_of = dict(zip(keys, groups.of.tolist(), strict=True))
    members: dict[int, list[str]] = {}
    for key, group in number_of.items():
        members.setdefault(group, []).append(key)
    ids: dict[int, int] = {}
    claims: Counter[tuple[int, int]] = Counter()
    for person in before.persons.values():
        present = [number_of[face] for face in person.faces if face in number_of]
        if person.held and present:
            ids[present[0]] = person.id  # they were never put apart
        elif not person.held:
            claims.update((group, person.id) for group in present)
    taken = set(ids.values())
    for (group, number), _ in sorted(claims.items(), key=lambda claim: (-claim[1], claim[0][1], claim[0][0])):
        if group not in ids and number not in taken and len(members[group]) >= min_size:
            ids[group] = number
            taken.add(number)
    fresh = [group for group, own in members.items() if group not in ids and len(own) >= min_size]
    next_id = before.next_id
    for group in sorted(fresh, key=lambda group: (-len(members[group]), group)):
        ids[group] = next_id
        next_id += 1
    persons = {person.id: person for person in before.persons.values() if person.held}
    for group, number in ids.items():
        old = persons.get(number)
        # a held person keeps faces that the index does not hold now
        faces = sorted({*members[group], *(old.faces if old is not None else ())})
        persons[number] = Person(number, None, False, tuple(faces)) if old is None else replace(old, faces=tuple(faces))
    people = replace(before, persons={number: persons[number] for number in sorted(persons)}, next_id=next_id)
    by_group = {group: persons[number] for group, number in ids.items()}
    return people, [by_group.get(group) for group in groups.of.tolist()]


def _output(row: Row, person: Person | None, cos: float, doubtful: bool) -> dict[str, Any]:
    return {
        "cluster": None if person is None else person.id,
        "name": None if person is None else person.name,
        "cos": None if person is None else round(cos, 6),
        "doubtful": doubtful,
        "source": row.source,
        "identity": row.identity,
        "face": row.face,
        "box": [round(v, 1) for v in row.box],
    }
