"""The persons of grouped faces. A group gets the id and the name that its faces had before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.people_file import People, Person
from cosface_cli.index.people.groups.linkage import Groups, link_faces
from cosface_cli.index.people.index_faces import IndexFaces
from cosface_cli.outcomes import OnOutcome, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedFaces:
    """The N faces of an index after grouping."""

    groups: Groups
    people: People
    """All persons, including those whose faces are not in the index at present."""
    person_of: list[Person | None]
    """(N): the person of each face; None in a group that is too small."""
    min_cos: float

    @property
    def is_doubtful(self) -> NDArray[np.bool_]:
        """(N,): whether a face of a person is nearer to another group than to its group, or far from its group."""
        has_person = np.array([person is not None for person in self.person_of], bool)
        return has_person & ((self.groups.cosine < self.min_cos) | (self.groups.other_cosine > self.groups.cosine))

    @property
    def person_ids(self) -> set[int]:
        """The ids of the persons with faces in the index."""
        return {person.id for person in self.person_of if person is not None}

    @property
    def single(self) -> int:
        """The number of faces without a person."""
        return sum(person is None for person in self.person_of)


def group_faces(faces: IndexFaces, people: People, min_cos: float, min_size: int, emit: OnOutcome) -> GroupedFaces:
    """Group the faces of an index. Persons that people named or corrected ("held") keep their faces and ids."""
    keys = faces.keys()
    numbers: dict[str, int] = {}
    distinct = np.array([numbers.setdefault(key, len(numbers)) for key in keys], np.int64)
    start_group, is_fixed = _start_groups(people, numbers)
    groups = link_faces(faces, distinct, start_group, is_fixed, min_cos, lambda done: emit(Progress(done, len(keys))))
    group_of_key = dict(zip(keys, groups.group_of.tolist(), strict=True))
    members: dict[int, list[str]] = {}
    for key, group in group_of_key.items():
        members.setdefault(group, []).append(key)
    ids, next_id = _person_ids(people, group_of_key, members, min_size)
    persons = _persons(people, members, ids)
    by_group = {group: persons[number] for group, number in ids.items()}
    return GroupedFaces(
        groups=groups,
        people=replace(people, persons=persons, next_id=next_id),
        person_of=[by_group.get(group) for group in groups.group_of.tolist()],
        min_cos=min_cos,
    )


def _start_groups(people: People, numbers: dict[str, int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """By number of a distinct face, its first group: that of its held person, else a group of one face. By group,
    whether it belongs to a held person."""
    start_group = np.full(len(numbers), -1, np.int64)
    held_count = 0
    for person in people.persons.values():
        if person.held:
            present = [numbers[face] for face in person.faces if face in numbers]
            start_group[present] = held_count
            held_count += bool(present)
    free = np.flatnonzero(start_group < 0)
    start_group[free] = held_count + np.arange(len(free))
    is_fixed = np.zeros(held_count + len(free), bool)
    is_fixed[:held_count] = True
    return start_group, is_fixed


def _person_ids(
    people: People, group_of_key: dict[str, int], members: dict[int, list[str]], min_size: int
) -> tuple[dict[int, int], int]:
    """The id of the person of each group, and the next free id. A group gets the id of the person with whom it shares
    most faces; other groups of at least min_size faces get new ids, the largest first."""
    ids: dict[int, int] = {}
    shared: Counter[tuple[int, int]] = Counter()
    for person in people.persons.values():
        groups = [group_of_key[face] for face in person.faces if face in group_of_key]
        if person.held and groups:
            ids[groups[0]] = person.id  # held faces are all in one group
        elif not person.held:
            shared.update((group, person.id) for group in groups)
    taken = set(ids.values())
    for (group, number), _ in sorted(shared.items(), key=lambda claim: (-claim[1], claim[0][1], claim[0][0])):
        if group not in ids and number not in taken and len(members[group]) >= min_size:
            ids[group] = number
            taken.add(number)
    new_groups = [group for group, faces in members.items() if group not in ids and len(faces) >= min_size]
    next_id = people.next_id
    for group in sorted(new_groups, key=lambda group: (-len(members[group]), group)):
        ids[group] = next_id
        next_id += 1
    return ids, next_id


def _persons(people: People, members: dict[int, list[str]], ids: dict[int, int]) -> dict[int, Person]:
    """All persons by id. A held person keeps faces that are not in the index at present."""
    persons = {person.id: person for person in people.persons.values() if person.held}
    for group, number in ids.items():
        held_person = persons.get(number)
        faces = members[group]
        if held_person is None:
            persons[number] = Person(number, None, False, tuple(sorted(faces)))
        else:
            persons[number] = replace(held_person, faces=tuple(sorted({*faces, *held_person.faces})))
    return {number: persons[number] for number in sorted(persons)}
