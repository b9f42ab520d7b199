"""Who is on these photos? A name where the score allows one, and nobody's otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.people import read_people
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import Evaluation, IdentifyConfig, IdentifyReport
from cosface_cli.index.people.enrolled import POOLS, QUALITY_POWER, Enrolled, stranger_scores
from cosface_cli.index.people.evaluation import Searches, evaluated
from cosface_cli.index.people.faces import Faces
from cosface_cli.index.probes import Asked, Probe, read_probes
from cosface_cli.maths.roc import threshold_at_far
from cosface_cli.outcomes import Done, Note, Rejected, Tally, Tell, ignore
from cosface_cli.registry import one_of

MOST = 10_000  # searches by strangers that set a threshold


def identify(config: IdentifyConfig, tell: Tell = ignore) -> IdentifyReport | Evaluation:
    """Answer each face of each probe with the name of a person enrolled, or with None; one Done a probe.

    Enrolled are the persons that people named, and faces of folders. The threshold is set so that of searches by
    strangers a share of config.fpir is answered. Raises CosfaceError where they are too few for that rate.
    """
    one_of(config.pool, POOLS, "--pool")
    if config.k < 1:
        raise CosfaceError(f"-k {config.k} asks for nothing", mend="give 1 or more")
    if not 0.0 < config.fpir < 1.0:
        raise CosfaceError(f"--fpir {config.fpir} is no rate", mend="give a number between 0 and 1, such as 0.01")
    faces = Faces(config.index)
    enrolled = Enrolled(faces, read_people(config.index), config.pool)
    asked = Asked(config.probes, config.model, config.detector, config.faces, config.min_face, config.workers)
    found = (probe for batch in read_probes(asked, faces.header, config.index, tell) for probe in batch)
    if config.evaluate:
        return _measured(config, enrolled, found, tell)
    tally = Tally()
    if config.together:
        return _one_person(config, enrolled, found, tally, tell)
    threshold, set_on = _threshold(config, enrolled, 1, tell)
    searches = known = 0
    for probe in found:
        if isinstance(probe, Rejected):
            tally.add(probe)
            tell(probe)
            continue
        rows = []
        for face, (vector, score) in enumerate(zip(probe.vectors, probe.scores, strict=True), 1):
            answer = _answer(config, enrolled, vector[None], np.array([score]), threshold)
            rows.append({"probe": probe.name, "status": "ok", "reason": None, "probe_face": face, **answer})
            searches += 1
            known += answer["match"] is not None
        tell(Done(probe.name, tuple(rows)))
    return IdentifyReport(searches, known, tally.rejected, len(enrolled.names), threshold, set_on)


def _one_person(
    config: IdentifyConfig, enrolled: Enrolled, found: Iterator[Probe | Rejected], tally: Tally, tell: Tell
) -> IdentifyReport:
    """All probes as one search. A photo of several faces is no photo of one person: it is rejected."""
    probes = []
    for probe in found:
        if not isinstance(probe, Rejected) and len(probe.vectors) > 1:
            words = f"{probe.name}: {len(probe.vectors)} faces, and with --together one person is asked for"
            probe = Rejected(probe.name, "several_faces", words)
        tally.add(probe if isinstance(probe, Rejected) else Done(probe.name))
        if isinstance(probe, Rejected):
            tell(probe)
        else:
            probes.append(probe)
    if not probes:
        return IdentifyReport(0, 0, tally.rejected, len(enrolled.names), float("nan"), 0)
    threshold, set_on = _threshold(config, enrolled, len(probes), tell)
    vectors = np.concatenate([probe.vectors for probe in probes])
    answer = _answer(config, enrolled, vectors, np.array([probe.scores[0] for probe in probes]), threshold)
    row = {"probe": f"{len(probes)} photos", "status": "ok", "reason": None, "probe_face": None, **answer}
    tell(Done(probes[0].name, (row,)))
    for probe in probes[1:]:
        tell(Done(probe.name))
    known = int(answer["match"] is not None)
    return IdentifyReport(1, known, tally.rejected, len(enrolled.names), threshold, set_on)


def _threshold(config: IdentifyConfig, enrolled: Enrolled, together: int, tell: Tell) -> tuple[float, int]:
    """The threshold, and how many searches by strangers set it."""
    if config.min_cos is not None:
        return config.min_cos, 0
    if config.strangers:
        scores = _of_stores(config, enrolled, together, tell)
    else:
        scores = stranger_scores(enrolled, together, MOST)
    threshold = threshold_at_far(scores, config.fpir)
    if threshold is None:
        problem = f"a rate of {config.fpir:g} needs {int(np.ceil(1 / config.fpir))} searches by strangers or more"
        mend = "give a larger --fpir, more of them by --strangers, or a cosine by --min-cos"
        raise CosfaceError(f"{problem}, here are {len(scores)}", config.index, mend)
    return threshold, len(scores)


def _of_stores(config: IdentifyConfig, enrolled: Enrolled, together: int, tell: Tell) -> NDArray[np.float64]:
    """The best scores of the strangers of stores; who is called as somebody enrolled is left out."""
    asked = Asked(tuple(map(str, config.strangers)))
    people: dict[str | None, list[Probe]] = {}
    left_out = 0
    for batch in read_probes(asked, enrolled.faces.header, config.index, tell):
        for probe in batch:
            if isinstance(probe, Rejected):
                tell(Note(probe.words))
            elif probe.identity in enrolled.names:
                left_out += 1
            else:
                people.setdefault(probe.identity, []).append(probe)
    if left_out:
        tell(Note(f"{left_out} photos of --strangers are called as somebody enrolled and were left out"))
    groups = [own[at : at + together] for own in people.values() for at in range(0, len(own) - together + 1, together)]
    groups = groups[:: max(1, -(-len(groups) // MOST))]
    return np.array([_candidates(enrolled, group, 1)[0][0] for group in groups])


def _candidates(enrolled: Enrolled, group: list[Probe], k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    vectors = np.concatenate([probe.vectors[:1] for probe in group])
    quality = np.array([max(probe.scores[0], 0.0) ** QUALITY_POWER for probe in group])
    return enrolled.candidates(vectors, quality, k)


def _answer(
    config: IdentifyConfig,
    enrolled: Enrolled,
    vectors: NDArray[np.float32],
    scores: NDArray[np.float64],
    threshold: float,
) -> dict[str, Any]:
    """match: the name, or None; candidate: whom it would be, with that one's nearest photo; candidates: the k best."""
    quality = np.maximum(scores, 0.0) ** QUALITY_POWER
    cosines, persons = enrolled.candidates(vectors, quality if quality.any() else np.ones(len(scores)), config.k)
    row = enrolled.faces.row(enrolled.nearest_photo(vectors[0], int(persons[0])))
    names = [enrolled.names[person] for person in persons.tolist()]
    return {
        "match": names[0] if cosines[0] >= threshold else None,
        "candidate": names[0],
        "cos": round(float(cosines[0]), 6),
        "threshold": round(threshold, 6),
        "source": row.source,
        "face": row.face,
        "candidates": [{"name": name, "cos": round(cos, 6)} for name, cos in zip(names, cosines.tolist(), strict=True)],
    }


def _measured(config: IdentifyConfig, enrolled: Enrolled, found: Iterator[Probe | Rejected], tell: Tell) -> Evaluation:
    searches = Searches(enrolled, config.together)
    for probe in found:
        if isinstance(probe, Rejected):
            tell(probe)
            continue
        searches.add(probe)
        tell(Done(probe.name))
    for words in searches.notes():
        tell(Note(words))
    size = searches.photos_together()
    threshold, set_on = _threshold(config, enrolled, size, tell)
    return evaluated(config, enrolled, searches, threshold, set_on)
