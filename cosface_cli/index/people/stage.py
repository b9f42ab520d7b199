"""The functions of people: cluster and identify. Naming is in names/edits.py and names/names_csv.py."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.files.links import replace_links
from cosface_cli.artifacts.index.index_folder import MAIN, read_header
from cosface_cli.artifacts.index.people_file import People, Person, read_people, write_people
from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import ClusterConfig, ClusterReport, Evaluation, IdentifyConfig, IdentifyReport
from cosface_cli.index.people.groups.merge_threshold import merge_threshold
from cosface_cli.index.people.groups.people_page import write_people_page
from cosface_cli.index.people.groups.persons import GroupedFaces, group_faces
from cosface_cli.index.people.identify.answers import answer_each_face, answer_one_person
from cosface_cli.index.people.identify.enrolled import Enrolled
from cosface_cli.index.people.identify.evaluation import evaluate
from cosface_cli.index.people.index_faces import IndexFaces
from cosface_cli.index.search.probes import read_probes
from cosface_cli.maths.clustering import agreement
from cosface_cli.outcomes import Done, Note, OnOutcome, Planned, ignore


def cluster(config: ClusterConfig, emit: OnOutcome = ignore) -> ClusterReport:
    """Group the faces of an index and write people.jsonl, with one Done per face, in the order of the index.

    Persons that the user named, merged or split keep their faces and ids, and only gain faces. The other faces are
    grouped again; a group gets the id of the earlier group with which it shares most faces. The same index and people
    give the same groups. Raises CosfaceError for a folder that is not an index, BusyError if another process writes to
    it.
    """
    if config.evaluate:
        return _evaluate_groups(config, emit)
    read_header(config.index)
    with atomic.lock(config.index / MAIN):
        faces = IndexFaces(config.index)  # under the lock, so that nobody is forgotten between reading and writing
        before = read_people(config.index)
        min_cos = merge_threshold(faces, config.min_cos, emit)
        grouped = group_faces(faces, before, min_cos, config.min_size, emit)
        views = {str(path.absolute()) for path in (config.links, config.page) if path is not None}
        # views are recorded before they are written, so that `forget` removes them even if this run is interrupted
        write_people(config.index, replace(grouped.people, views=tuple(sorted({*before.views, *views}))))
        if config.links is not None:
            _write_links(config.links, config.hard, faces, grouped, emit)
        if config.page is not None:
            write_people_page(config.page, faces, grouped)
            emit(Note(f"page: {config.page}"))
    emit(Planned(len(faces)))
    is_doubtful = grouped.is_doubtful
    for number, row in enumerate(faces.rows()):
        cos = float(grouped.groups.cosine[number])
        emit(Done(row.source, (_face_row(row, grouped.person_of[number], cos, bool(is_doubtful[number])),)))
    return _report(config, grouped, fresh=len(grouped.person_ids - set(before.persons)))


def identify(config: IdentifyConfig, emit: OnOutcome = ignore) -> IdentifyReport | Evaluation:
    """Answer each face of each probe with the name of an enrolled person, or with None; one Done per probe.

    Persons with a name and faces with an identity are enrolled. The threshold is set so that a share of config.fpir of
    the searches by strangers is answered. Raises CosfaceError if there are too few strangers for that rate.
    """
    faces = IndexFaces(config.index)
    enrolled = Enrolled(faces, read_people(config.index), config.pool)
    batches = read_probes(config, faces.header, emit)
    if config.evaluate:
        return evaluate(config, enrolled, batches, emit)
    if config.together:
        return answer_one_person(config, enrolled, batches, emit)
    return answer_each_face(config, enrolled, batches, emit)


def _evaluate_groups(config: ClusterConfig, emit: OnOutcome) -> ClusterReport:
    """Group without people.jsonl, and compare the groups with the identities of the faces."""
    faces = IndexFaces(config.index)
    min_cos = merge_threshold(faces, config.min_cos, emit)
    grouped = group_faces(faces, People(), min_cos, config.min_size, emit)
    identities = []
    for row in faces.rows():
        identities.append(row.identity)
        emit(Done(row.source))
    is_known = np.array([identity is not None for identity in identities], bool)
    if not is_known.any():
        raise CosfaceError(
            "no face has an identity to compare the groups with",
            config.index,
            "index photos that lie in one folder per person",
        )
    names, truth = np.unique([identity for identity in identities if identity is not None], return_inverse=True)
    return replace(
        _report(config, grouped, fresh=len(grouped.person_ids)),
        people=len(names),
        scored=int(is_known.sum()),
        **asdict(agreement(truth, grouped.groups.group_of[is_known])),
    )


def _report(config: ClusterConfig, grouped: GroupedFaces, fresh: int) -> ClusterReport:
    return ClusterReport(
        index=str(config.index),
        faces=len(grouped.person_of),
        clusters=len(grouped.person_ids),
        fresh=fresh,
        single=grouped.single,
        doubtful=int(grouped.is_doubtful.sum()),
        min_cos=grouped.min_cos,
    )


def _write_links(root: Path, hard: bool, faces: IndexFaces, grouped: GroupedFaces, emit: OnOutcome) -> None:
    pairs = zip(faces.rows(), grouped.person_of, strict=True)
    photos = dict.fromkeys((person.label, Path(row.root) / row.source) for row, person in pairs if person is not None)
    count, missing = replace_links(root, photos, hard)
    emit(Note(f"{root}: {count} links"))
    if missing:
        emit(Note(f"{len(missing)} photos could not be linked, the first is {missing[0]}"))


def _face_row(row: FaceRow, person: Person | None, cos: float, is_doubtful: bool) -> dict[str, object]:
    """The row of output of a face."""
    return {
        "cluster": None if person is None else person.id,
        "name": None if person is None else person.name,
        "cos": None if person is None else round(cos, 6),
        "doubtful": is_doubtful,
        "source": row.source,
        "identity": row.identity,
        "face": row.face,
        "box": [round(v, 1) for v in row.box],
    }
