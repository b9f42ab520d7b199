"""The threshold from which a search is answered, set so that strangers are answered at a given rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.index import ProbeConfig
from cosface_cli.index.people import IdentifyConfig
from cosface_cli.index.people.identify.enrolled import Enrolled, Search, quality_of
from cosface_cli.index.search.probes import Probe, read_probes
from cosface_cli.maths.roc import threshold_at_far
from cosface_cli.outcomes import Note, OnOutcome, Rejected

MAX_SEARCHES = 10_000  # searches by strangers that a threshold is set on


def threshold_of(config: IdentifyConfig, enrolled: Enrolled, photos: int, emit: OnOutcome) -> tuple[float, int]:
    """The threshold, and the number of searches by strangers by which it was set: 0 for --min-cos.

    photos: the number of photos in each search by a stranger. It must be that of the probes' searches, since pooled
    photos have higher scores. Raises CosfaceError if there are too few strangers for config.fpir.
    """
    if config.min_cos is not None:
        return config.min_cos, 0
    if config.strangers:
        scores = _store_scores(config, enrolled, photos, emit)
    else:
        scores = left_out_scores(enrolled, photos)
    threshold = threshold_at_far(scores, config.fpir)
    if threshold is None:
        needed = int(np.ceil(1 / config.fpir))
        problem = f"--fpir {config.fpir:g} needs {needed} searches by strangers or more, there are {len(scores)}"
        hint = "give a larger --fpir, more strangers with --strangers, or a cosine with --min-cos"
        raise CosfaceError(problem, config.index, hint)
    return threshold, len(scores)


def left_out_scores(enrolled: Enrolled, photos: int, most: int = MAX_SEARCHES) -> NDArray[np.float64]:
    """The best scores of searches by each enrolled person, as if that person were not enrolled.

    The person is left out of the answer; the rest of the gallery is unchanged. photos: the number of photos in each
    search; if no person has so many, all photos of each person. most: the largest number of searches, evenly spaced.
    Raises CosfaceError for fewer than two persons.
    """
    if len(enrolled.names) < 2:
        problem = "only one person is enrolled, so there are no strangers to set a threshold by"
        hint = "give strangers with --strangers, or a cosine with --min-cos"
        raise CosfaceError(problem, enrolled.faces.root, hint)
    groups = [
        rows[start : start + photos] for rows in enrolled.rows_of for start in range(0, len(rows) - photos + 1, photos)
    ] or enrolled.rows_of
    groups = groups[:: max(1, -(-len(groups) // most))]
    searches = [(enrolled.faces.take(rows), enrolled.quality[rows]) for rows in groups]
    scores, persons = enrolled.candidates(searches, 2)
    is_self = persons[:, 0] == enrolled.person_of[[rows[0] for rows in groups]]
    return np.where(is_self, scores[:, 1], scores[:, 0])


def search_by(probes: list[Probe]) -> Search:
    """The first face of each probe, as one search."""
    return (
        np.stack([probe.vectors[0] for probe in probes]),
        np.array([quality_of(probe.scores[0]) for probe in probes]),
    )


def _store_scores(config: IdentifyConfig, enrolled: Enrolled, photos: int, emit: OnOutcome) -> NDArray[np.float64]:
    """The best scores of the strangers in stores. A row without identity counts as a person; people with the name of an
    enrolled person are left out."""
    names = set(enrolled.names)
    people: dict[str | int, list[Probe]] = {}
    left_out = 0
    stores = ProbeConfig(index=config.index, probes=tuple(map(str, config.strangers)))
    for batch in read_probes(stores, enrolled.faces.header, emit):
        for probe in batch:
            if isinstance(probe, Rejected):
                emit(Note(probe.words))
            elif probe.identity in names:
                left_out += 1
            else:
                people.setdefault(len(people) if probe.identity is None else probe.identity, []).append(probe)
    if left_out:
        emit(Note(f"{left_out} photos of --strangers were left out: their identity is that of an enrolled person"))
    groups = [
        probes[start : start + photos]
        for probes in people.values()
        for start in range(0, len(probes) - photos + 1, photos)
    ]
    groups = groups[:: max(1, -(-len(groups) // MAX_SEARCHES))]
    return enrolled.candidates([search_by(group) for group in groups], 1)[0][:, 0]
