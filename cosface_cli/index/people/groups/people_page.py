"""An HTML page for reviewing the groups: each with its doubtful faces first, and with its nearest groups."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.index.people_file import Person
from cosface_cli.artifacts.pages import page_writer
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.errors import PhotoError
from cosface_cli.index.people.groups.linkage import Groups
from cosface_cli.index.people.groups.persons import GroupedFaces
from cosface_cli.index.people.index_faces import BLOCK, IndexFaces

SIDE = 96  # pixels of a thumbnail's longer side
MAX_FACES = 20_000  # faces on one page: it stays usable and below 60 MB
MAX_OF_GROUP = 200  # faces of one group, and of those in no group
NEAREST = 3  # groups named beside each group


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _PageGroup:
    """A group with a person, as the page shows it."""

    person: Person
    number: int
    """Its number in Groups."""
    size: int
    doubtful: int
    cos: float
    """The mean of its faces' cosines."""
    face_numbers: NDArray[np.int64]
    """The faces on the page: the doubtful first, then the most typical."""


def write_people_page(path: Path, faces: IndexFaces, grouped: GroupedFaces) -> None:
    """Write the page. Memory holds one picture. The same files give the same bytes.

    Raises CosfaceError if it cannot be written.
    """
    groups, is_doubtful = grouped.groups, grouped.is_doubtful
    page_groups = list(_page_groups(groups, grouped.person_of, is_doubtful))
    totals = np.cumsum([len(group.face_numbers) for group in page_groups])
    fitting = page_groups[: int(np.searchsorted(totals, MAX_FACES, side="right"))]
    nearest = _nearest_groups(groups, fitting)
    single = np.flatnonzero([person is None for person in grouped.person_of])
    single_on_page = single[:: max(1, -(-len(single) // MAX_OF_GROUP))]
    page_writer.write_page(
        path,
        "index/people/groups/people_page.html.j2",
        {
            "title": faces.root.absolute().name,
            "numbers": [
                ("faces", len(grouped.person_of)),
                ("groups", len(page_groups)),
                ("named", sum(group.person.name is not None for group in page_groups)),
                ("doubtful faces", int(is_doubtful.sum())),
                ("in no group", len(single)),
            ],
            "left_out": _left_out_sentence(
                faces=sum(group.size - len(group.face_numbers) for group in fitting),
                groups=len(page_groups) - len(fitting),
                single=len(single) - len(single_on_page),
            ),
            "min_cos": f"{grouped.min_cos:.3f}",
            "model": f"{faces.header.model} ({faces.header.model_id}), flip {faces.header.flip}",
            "settings": {"index": shlex.quote(str(faces.root)), "side": SIDE},
            "groups": (_group_data(faces, groups, is_doubtful, group, nearest[group.number]) for group in fitting),
            "single": {
                "size": len(single),
                "faces": [_face_data(faces, number, 1.0, -1.0, False) for number in single_on_page],
            },
        },
    )


def _page_groups(
    groups: Groups, person_of: Sequence[Person | None], is_doubtful: NDArray[np.bool_]
) -> Iterator[_PageGroup]:
    """The groups with a person, the largest first."""
    order = np.argsort(groups.group_of, kind="stable")
    ends = np.cumsum(np.bincount(groups.group_of, minlength=len(groups.counts)))
    persons = []
    for number, (low, high) in enumerate(pairwise([0, *ends.tolist()])):
        members = order[low:high]
        person = person_of[int(members[0])]
        if person is not None:
            persons.append((person, number, members))
    for person, number, members in sorted(persons, key=lambda group: (-len(group[2]), group[0].id)):
        doubtful = is_doubtful[members]
        ranked = members[np.lexsort((members, -groups.cosine[members], ~doubtful))]
        yield _PageGroup(
            person=person,
            number=number,
            size=len(members),
            doubtful=int(doubtful.sum()),
            cos=round(float(groups.cosine[members].mean()), 3),
            face_numbers=ranked[:MAX_OF_GROUP],
        )


def _nearest_groups(groups: Groups, page_groups: Sequence[_PageGroup]) -> dict[int, list[tuple[int, float]]]:
    """By number of a group: the person ids of the nearest other groups, and the mean cosine with each."""
    numbers = np.array([group.number for group in page_groups], np.int64)
    ids = [group.person.id for group in page_groups]
    means = groups.sums[numbers] / groups.counts[numbers][:, None]
    nearest: dict[int, list[tuple[int, float]]] = {}
    for low in range(0, len(numbers), BLOCK):
        cosines = means[low : low + BLOCK].astype(np.float64) @ means.T.astype(np.float64)
        cosines[np.arange(len(cosines)), np.arange(low, low + len(cosines))] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(NEAREST, len(numbers) - 1)]
        for row, columns in enumerate(order):
            pairs = [(ids[column], round(float(cosines[row, column]), 3)) for column in columns]
            nearest[int(numbers[low + row])] = pairs
    return nearest


def _group_data(
    faces: IndexFaces,
    groups: Groups,
    is_doubtful: NDArray[np.bool_],
    group: _PageGroup,
    nearest: list[tuple[int, float]],
) -> dict[str, object]:
    """A group as the page's script reads it. near: the nearest groups."""
    return {
        "id": group.person.id,
        "name": group.person.name,
        "size": group.size,
        "doubtful": group.doubtful,
        "cos": group.cos,
        "near": nearest,
        "faces": [
            _face_data(faces, n, groups.cosine[n], groups.other_cosine[n], bool(is_doubtful[n]))
            for n in group.face_numbers.tolist()
        ],
    }


def _face_data(
    faces: IndexFaces, number: int, cosine: float, other_cosine: float, is_doubtful: bool
) -> dict[str, object]:
    """A face as the page's script reads it. other: the mean cosine with the nearest other group, null without one."""
    row = faces.row(int(number))
    return {
        "source": row.source,
        "face": row.face,
        "cos": round(float(cosine), 3),
        "other": None if other_cosine <= -1.0 else round(float(other_cosine), 3),
        "doubtful": is_doubtful,
        "picture": thumbnail(row),
    }


def thumbnail(row: FaceRow) -> str | None:
    """The picture of a face for the page; None if its file can no longer be read."""
    path = Path(row.root) / row.source
    try:
        photo = pictures.decode(pictures.read(path), path)
    except (PhotoError, OSError):
        return None
    image = pictures.cut_out(photo.image, row.box) if row.size else photo.image  # rows of crops have no file size
    return page_writer.picture(pictures.encode_thumbnail(image, SIDE))


def _left_out_sentence(*, faces: int, groups: int, single: int) -> str:
    parts = []
    if faces:
        parts.append(f"{faces:,} faces are left out: the page shows at most {MAX_OF_GROUP} of each group")
    if groups:
        parts.append(f"the {groups:,} smallest groups are left out")
    if single:
        parts.append(f"{single:,} faces in no group are left out")
    return "; ".join(parts) + "." if parts else ""
