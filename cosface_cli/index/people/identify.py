"""Who is on these photos? A name where the score allows one, and nobody's otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.index.people_file import read_people
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import Evaluation, IdentifyConfig, IdentifyReport
from cosface_cli.index.people.enrolled import POOLS, Enrolled, Search
from cosface_cli.index.people.evaluation import evaluated
from cosface_cli.index.people.faces import Faces
from cosface_cli.index.people.strangers import search_by, threshold_of
from cosface_cli.index.probes import Asked, Probe, read_probes
from cosface_cli.outcomes import Done, OnOutcome, Rejected, Tally, ignore
from cosface_cli.registry import one_of

Batches = Iterator[list[Probe | Rejected]]


def identify(config: IdentifyConfig, emit: OnOutcome = ignore) -> IdentifyReport | Evaluation:
    """Answer each face of each probe with the name of a person enrolled, or with None; one Done a probe.

    Enrolled are the persons that people named, and faces of folders. The threshold is set so that of searches by
    strangers a share of config.fpir is answered. Raises CosfaceError where they are too few for that rate.
    """
    one_of(config.pool, POOLS, "--pool")
    if config.k < 1:
        raise CosfaceError(f"-k {config.k} asks for nothing", hint="give 1 or more")
    if not 0.0 < config.fpir < 1.0:
        raise CosfaceError(f"--fpir {config.fpir} is no rate", hint="give a number between 0 and 1, such as 0.01")
    faces = Faces(config.index)
    enrolled = Enrolled(faces, read_people(config.index), config.pool)
    asked = Asked(config.probes, config.model, config.detector, config.faces, config.min_face, config.workers)
    batches = read_probes(asked, faces.header, config.index, emit)
    if config.evaluate:
        return evaluated(config, enrolled, batches, emit)
    return (_one_person if config.together else _each)(config, enrolled, batches, emit)


def _each(config: IdentifyConfig, enrolled: Enrolled, batches: Batches, emit: OnOutcome) -> IdentifyReport:
    """Every face of every probe is a search."""
    threshold, set_on = threshold_of(config, enrolled, 1, emit)
    tally = Tally()
    searches = known = 0
    for batch in batches:
        found = [probe for probe in batch if not isinstance(probe, Rejected)]
        vectors = [vector for probe in found for vector in probe.vectors]
        answers = iter(_answers(config, enrolled, [(vector[None], np.ones(1)) for vector in vectors], threshold))
        for probe in batch:
            if isinstance(probe, Rejected):
                tally.add(probe)
                emit(probe)
                continue
            rows = [_row(probe.name, face, next(answers)) for face in range(1, len(probe.vectors) + 1)]
            searches += len(rows)
            known += sum(row["match"] is not None for row in rows)
            emit(Done(probe.name, tuple(rows)))
    return IdentifyReport(searches, known, tally.rejected, len(enrolled.names), threshold, set_on)


def _one_person(config: IdentifyConfig, enrolled: Enrolled, batches: Batches, emit: OnOutcome) -> IdentifyReport:
    """All probes are one search. A photo of several faces is no photo of one person: it is rejected."""
    probes: list[Probe] = []
    rejected = 0
    for probe in (probe for batch in batches for probe in batch):
        if not isinstance(probe, Rejected) and len(probe.vectors) > 1:
            words = f"{probe.name}: {len(probe.vectors)} faces, and with --together one person is asked for"
            probe = Rejected(probe.name, "several_faces", words)
        if isinstance(probe, Rejected):
            rejected += 1
            emit(probe)
        else:
            probes.append(probe)
    threshold, set_on = threshold_of(config, enrolled, max(1, len(probes)), emit)
    answers = _answers(config, enrolled, [search_by(probes)] if probes else [], threshold)
    rows = tuple(_row(f"{len(probes)} photos", None, answer) for answer in answers)
    for place, probe in enumerate(probes):
        emit(Done(probe.name, rows if place == 0 else ()))
    known = sum(row["match"] is not None for row in rows)
    return IdentifyReport(len(rows), known, rejected, len(enrolled.names), threshold, set_on)


def _answers(
    config: IdentifyConfig, enrolled: Enrolled, searches: list[Search], threshold: float
) -> Iterator[dict[str, Any]]:
    """match: the name, or None; candidate: whom it would be, with that one's nearest photo; candidates: the k best."""
    scores, persons = enrolled.candidates(searches, config.k)
    for (photos, _), own_scores, own_persons in zip(searches, scores.tolist(), persons.tolist(), strict=True):
        row = enrolled.faces.row(_nearest_photo(enrolled, photos, own_persons[0]))
        names = [enrolled.names[person] for person in own_persons]
        yield {
            "match": names[0] if own_scores[0] >= threshold else None,
            "candidate": names[0],
            "cos": round(own_scores[0], 6),
            "threshold": round(threshold, 6),
            "source": row.source,
            "face": row.face,
            "candidates": [
                {"name": name, "cos": round(score, 6)} for name, score in zip(names, own_scores, strict=True)
            ],
        }


def _nearest_photo(enrolled: Enrolled, photos: NDArray[np.float32], person: int) -> int:
    """The number of a person's face that is nearest to one of some photos (M, D)."""
    own = enrolled.rows_of[person]
    cosines = enrolled.faces.take(own).astype(np.float64) @ photos.T.astype(np.float64)
    return int(own[int(np.argmax(cosines.max(axis=1)))])


def _row(probe: str, face: int | None, answer: dict[str, Any]) -> dict[str, Any]:
    return {"probe": probe, "status": "ok", "reason": None, "probe_face": face, **answer}
