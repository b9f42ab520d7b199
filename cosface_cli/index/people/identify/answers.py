"""Answers to searches: a name if the score allows one, and "unknown" (match: null) otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cosface_cli.index.people import IdentifyConfig, IdentifyReport
from cosface_cli.index.people.identify.enrolled import Enrolled, Search
from cosface_cli.index.people.identify.stranger_threshold import search_by, threshold_of
from cosface_cli.index.search.probes import Batch, Probe
from cosface_cli.outcomes import Done, OnOutcome, Rejected, Tally

Batches = Iterator[Batch]


def answer_each_face(config: IdentifyConfig, enrolled: Enrolled, batches: Batches, emit: OnOutcome) -> IdentifyReport:
    """Answer each face of each probe separately."""
    threshold, set_on = threshold_of(config, enrolled, 1, emit)
    tally = Tally()
    searches = known = 0
    for batch in batches:
        probes = [probe for probe in batch if not isinstance(probe, Rejected)]
        faces = [(vector[None], np.ones(1)) for probe in probes for vector in probe.vectors]
        answers = iter(_answers(config, enrolled, faces, threshold))
        for probe in batch:
            if isinstance(probe, Rejected):
                tally.add(probe)
                emit(probe)
                continue
            rows = [_row(probe.name, face, next(answers)) for face in range(1, len(probe.vectors) + 1)]
            searches += len(rows)
            known += sum(row["match"] is not None for row in rows)
            emit(Done(probe.name, tuple(rows)))
    return IdentifyReport(
        searches=searches,
        known=known,
        rejected=tally.rejected,
        people=len(enrolled.names),
        threshold=threshold,
        set_on=set_on,
    )


def answer_one_person(config: IdentifyConfig, enrolled: Enrolled, batches: Batches, emit: OnOutcome) -> IdentifyReport:
    """Answer all probes together, as one search. A photo with several faces is Rejected."""
    probes: list[Probe] = []
    rejected = 0
    for probe in (probe for batch in batches for probe in batch):
        if not isinstance(probe, Rejected) and len(probe.vectors) > 1:
            words = f"{probe.name}: {len(probe.vectors)} faces, but with --together each photo must show one person"
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
    return IdentifyReport(
        searches=len(rows),
        known=sum(row["match"] is not None for row in rows),
        rejected=rejected,
        people=len(enrolled.names),
        threshold=threshold,
        set_on=set_on,
    )


def _answers(
    config: IdentifyConfig, enrolled: Enrolled, searches: list[Search], threshold: float
) -> Iterator[dict[str, object]]:
    """For each search: match (the name, or None), candidate (the best person, with that person's nearest photo) and
    candidates (the k best persons)."""
    scores, persons = enrolled.candidates(searches, config.k)
    for (photos, _), cosines, places in zip(searches, scores.tolist(), persons.tolist(), strict=True):
        row = enrolled.faces.row(_nearest_photo(enrolled, photos, places[0]))
        names = [enrolled.names[place] for place in places]
        yield {
            "match": names[0] if cosines[0] >= threshold else None,
            "candidate": names[0],
            "cos": round(cosines[0], 6),
            "threshold": round(threshold, 6),
            "source": row.source,
            "face": row.face,
            "candidates": [{"name": name, "cos": round(cos, 6)} for name, cos in zip(names, cosines, strict=True)],
        }


def _nearest_photo(enrolled: Enrolled, photos: NDArray[np.float32], person: int) -> int:
    """The number of the person's face that is nearest to one of these photos (M, D)."""
    rows = enrolled.rows_of[person]
    cosines = enrolled.faces.take(rows).astype(np.float64) @ photos.T.astype(np.float64)
    return int(rows[int(np.argmax(cosines.max(axis=1)))])


def _row(probe: str, face: int | None, answer: dict[str, object]) -> dict[str, object]:
    return {"probe": probe, "status": "ok", "reason": None, "probe_face": face, **answer}
