"""The threshold from which a search is answered, so that strangers are answered as seldom as wished."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import IdentifyConfig
from cosface_cli.index.people.enrolled import Enrolled, Search, quality_of
from cosface_cli.index.probes import Asked, Probe, read_probes
from cosface_cli.maths.roc import threshold_at_far
from cosface_cli.outcomes import Note, OnOutcome, Rejected

MOST = 10_000  # searches by strangers that set a threshold


def threshold_of(config: IdentifyConfig, enrolled: Enrolled, together: int, emit: OnOutcome) -> tuple[float, int]:
    """The threshold, and how many searches by strangers set it: 0 where it was asked for.

    together: photos of each search, as many as a probe has: pooled ones score higher, by strangers too. Raises
    CosfaceError where they are too few for the rate wished.
    """
    if config.min_cos is not None:
        return config.min_cos, 0
    scores = (
        _of_stores(config, enrolled, together, emit) if config.strangers else stranger_scores(enrolled, together, MOST)
    )
    threshold = threshold_at_far(scores, config.fpir)
    if threshold is None:
        problem = f"a rate of {config.fpir:g} needs {int(np.ceil(1 / config.fpir))} searches by strangers or more"
        hint = "give a larger --fpir, more of them by --strangers, or a cosine by --min-cos"
        raise CosfaceError(f"{problem}, here are {len(scores)}", config.index, hint)
    return threshold, len(scores)


def stranger_scores(enrolled: Enrolled, together: int, most: int = MOST) -> NDArray[np.float64]:
    """The best scores of searches by people who are not enrolled: each person enrolled, taken for one who is not.

    The person's own entry is left out of the answer; the rest of the gallery is as it is. together: photos of each
    search, or all of a person's where nobody has so many; most: searches, evenly chosen. Raises CosfaceError for one
    person alone.
    """
    if len(enrolled.names) < 2:
        problem = "one person alone tells nothing about strangers"
        raise CosfaceError(problem, enrolled.faces.root, "give strangers by --strangers, or a cosine by --min-cos")
    groups = [
        rows[at : at + together] for rows in enrolled.rows_of for at in range(0, len(rows) - together + 1, together)
    ] or enrolled.rows_of
    groups = groups[:: max(1, -(-len(groups) // most))]
    searches = [(enrolled.faces.take(rows), enrolled.quality[rows]) for rows in groups]
    scores, persons = enrolled.candidates(searches, 2)
    itself = persons[:, 0] == enrolled.of[[rows[0] for rows in groups]]
    return np.where(itself, scores[:, 1], scores[:, 0])


def search_by(probes: list[Probe]) -> Search:
    """The first faces of some probes as one search."""
    return (
        np.stack([probe.vectors[0] for probe in probes]),
        np.array([quality_of(probe.scores[0]) for probe in probes]),
    )


def _of_stores(config: IdentifyConfig, enrolled: Enrolled, together: int, emit: OnOutcome) -> NDArray[np.float64]:
    """The best scores of the strangers of stores, each without identity somebody else; who is called as somebody
    enrolled is left out."""
    names = set(enrolled.names)
    people: dict[str | int, list[Probe]] = {}
    left_out = 0
    for batch in read_probes(Asked(tuple(map(str, config.strangers))), enrolled.faces.header, config.index, emit):
        for probe in batch:
            if isinstance(probe, Rejected):
                emit(Note(probe.words))
            elif probe.identity in names:
                left_out += 1
            else:
                people.setdefault(len(people) if probe.identity is None else probe.identity, []).append(probe)
    if left_out:
        emit(Note(f"{left_out} photos of --strangers are called as somebody enrolled, and were left out"))
    groups = [own[at : at + together] for own in people.values() for at in range(0, len(own) - together + 1, together)]
    groups = groups[:: max(1, -(-len(groups) // MOST))]
    return enrolled.candidates([search_by(group) for group in groups], 1)[0][:, 0]
