"""A page to look at groups of faces: every group with its doubtful faces first, and its nearest groups."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts import pictures
from cosface_cli.artifacts.index.people_file import Person
from cosface_cli.artifacts.pages import page_writer
from cosface_cli.artifacts.store.face_rows import Row
from cosface_cli.errors import PhotoError
from cosface_cli.index.people.faces import BLOCK, Faces
from cosface_cli.index.people.grouping import Groups

SIDE = 96  # of a small picture, its longer side in pixels
MOST = 20_000  # faces that one page shows: it stays usable and below 60 MB
OF_GROUP = 200  # faces of one group, and of those in none
NEAREST = 3  # groups shown beside each

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Group:
    """number: in Groups; cos: the mean of its faces' own; shown: those on the page, the doubtful first, then the most
    typical."""

    person: Person
    number: int
    size: int
    doubtful: int
    cos: float
    shown: Ints


def write_people_page(
    path: Path,
    faces: Faces,
    groups: Groups,
    placed: Sequence[Person | None],
    doubtful: NDArray[np.bool_],
    least: float,
) -> None:
    """Write the page. placed, doubtful (N,): the person of each face, and whether it may be another's.

    Memory holds one picture. The same files give the same bytes. Raises CosfaceError where it cannot be written.
    """
    shown = list(_shown(groups, placed, doubtful))
    taken = np.cumsum([len(group.shown) for group in shown])
    fitting = int(np.searchsorted(taken, MOST, side="right"))
    near = _nearest(groups, shown[:fitting])
    single = np.flatnonzero([person is None for person in placed])
    some = single[:: max(1, -(-len(single) // OF_GROUP))]
    named = sum(group.person.name is not None for group in shown)
    held_back = sum(group.size - len(group.shown) for group in shown[:fitting])
    page_writer.write_page(
        path,
        "index/people/page.html.j2",
        {
            "title": faces.root.absolute().name,
            "numbers": [
                ("faces", len(placed)),
                ("groups", len(shown)),
                ("named", named),
                ("doubtful faces", int(doubtful.sum())),
                ("in no group", len(single)),
            ],
            "left_out": _left_out(held_back, len(shown) - fitting, len(single) - len(some)),
            "least": f"{least:.3f}",
            "model": f"{faces.header.model} ({faces.header.model_id}), flip {faces.header.flip}",
            "settings": {"index": shlex.quote(str(faces.root)), "side": SIDE},
            "groups": (_of_group(faces, groups, doubtful, group, near[group.number]) for group in shown[:fitting]),
            "single": {"size": len(single), "faces": [_face(faces, number, 1.0, -1.0, False) for number in some]},
        },
    )


def _shown(groups: Groups, placed: Sequence[Person | None], doubtful: NDArray[np.bool_]) -> Iterator[_Group]:
    """The groups that are somebody's, the largest first."""
    order = np.argsort(groups.of, kind="stable")
    ends = np.cumsum(np.bincount(groups.of, minlength=len(groups.counts)))
    found = []
    for number, (low, high) in enumerate(pairwise([0, *ends.tolist()])):
        members = order[low:high]
        person = placed[int(members[0])]
        if person is not None:
            found.append((person, number, members))
    for person, number, members in sorted(found, key=lambda one: (-len(one[2]), one[0].id)):
        own_doubtful = doubtful[members]
        ranked = members[np.lexsort((members, -groups.own[members], ~own_doubtful))]
        cos = round(float(groups.own[members].mean()), 3)
        yield _Group(person, number, len(members), int(own_doubtful.sum()), cos, ranked[:OF_GROUP])


def _nearest(groups: Groups, shown: Sequence[_Group]) -> dict[int, list[tuple[int, float]]]:
    """By group, the ids of the nearest of the others, and the mean cosine between the two."""
    numbers = np.array([group.number for group in shown], np.int64)
    ids = [group.person.id for group in shown]
    means = groups.sums[numbers] / groups.counts[numbers][:, None]
    out: dict[int, list[tuple[int, float]]] = {}
    for low in range(0, len(numbers), BLOCK):
        cosines = means[low : low + BLOCK].astype(np.float64) @ means.T.astype(np.float64)
        cosines[np.arange(len(cosines)), np.arange(low, low + len(cosines))] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(NEAREST, len(numbers) - 1)]
        for place, own in enumerate(order):
            out[int(numbers[low + place])] = [(ids[other], round(float(cosines[place, other]), 3)) for other in own]
    return out


def _of_group(
    faces: Faces, groups: Groups, doubtful: NDArray[np.bool_], group: _Group, near: list[tuple[int, float]]
) -> dict[str, Any]:
    return {
        "id": group.person.id,
        "name": group.person.name,
        "held": group.person.held,
        "size": group.size,
        "doubtful": group.doubtful,
        "cos": group.cos,
        "near": near,
        "faces": [_face(faces, n, groups.own[n], groups.other[n], bool(doubtful[n])) for n in group.shown.tolist()],
    }


def _face(faces: Faces, number: int, own: float, other: float, doubtful: bool) -> dict[str, Any]:
    """What the page knows of a face. other: its mean cosine with the nearest other group, null where none is near."""
    row = faces.row(int(number))
    return {
        "source": row.source,
        "face": row.face,
        "folder": row.identity,
        "cos": round(float(own), 3),
        "other": None if other <= -1.0 else round(float(other), 3),
        "doubtful": doubtful,
        "picture": _picture(row),
    }


def _picture(row: Row) -> str | None:
    """The small picture of a face, or None where its file is not there any more."""
    path = Path(row.root) / row.source
    try:
        photo = pictures.decode(pictures.read(path), path)
    except (PhotoError, OSError):
        return None
    image = pictures.about(photo.image, row.box) if row.size else photo.image  # of a photo only the face
    return page_writer.picture(pictures.encode_thumbnail(image, SIDE))


def _left_out(faces: int, groups: int, single: int) -> str:
    words = []
    if faces:
        words.append(f"{faces:,} faces of groups are not on this page: at most {OF_GROUP} of each are")
    if groups:
        words.append(f"the {groups:,} smallest groups are left out")
    if single:
        words.append(f"{single:,} faces in no group are left out")
    return "; ".join(words) + "." if words else ""
