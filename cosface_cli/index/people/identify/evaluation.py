"""How well identification works: FPIR, FNIR, CMC and DIR over probes with known identities."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import Evaluation, IdentifyConfig
from cosface_cli.index.people.identify.enrolled import Enrolled
from cosface_cli.index.people.identify.stranger_threshold import search_by, threshold_of
from cosface_cli.index.search.probes import Batch, Probe
from cosface_cli.maths.identification import cmc, detected, ranks
from cosface_cli.maths.intervals import clopper_pearson
from cosface_cli.maths.roc import count_accepted, threshold_at_far
from cosface_cli.outcomes import Done, Note, OnOutcome, Rejected

RANKS = 20  # candidates of a search, and the last rank of the CMC
RATES = (0.1, 0.03, 0.01, 0.003, 0.001)
SAME_PHOTO = 1.0 - 1e-6  # cosine from which a probe is an enrolled photo itself


def evaluate(config: IdentifyConfig, enrolled: Enrolled, batches: Iterator[Batch], emit: OnOutcome) -> Evaluation:
    """Rates at the threshold, and at all thresholds.

    The first face of each probe is used. Probes without identity, and probes that are enrolled photos, are left out,
    and a Note says how many. Raises CosfaceError if no probe remains.
    """
    groups = _groups(config, enrolled, batches, emit)
    if not groups:
        hint = "give stores or crop folders of people, with other photos than the enrolled ones"
        raise CosfaceError("no probe has a known identity", config.index, hint)
    photos = int(np.median([len(group) for _, group in groups]))
    threshold, set_on = threshold_of(config, enrolled, photos, emit)
    scores, persons = enrolled.candidates([search_by(group) for _, group in groups], RANKS)
    true_person = np.array([place for place, _ in groups], np.int64)
    mated = true_person >= 0
    rank, true_scores = ranks(scores[mated], persons[mated], true_person[mated])
    strangers = scores[~mated, 0]
    missed = len(rank) - detected(rank, true_scores, threshold)[0]
    return Evaluation(
        mated=int(mated.sum()),
        unmated=int((~mated).sum()),
        people=len(enrolled.names),
        pool=config.pool,
        together=config.together,
        threshold=threshold,
        fpir_wished=config.fpir if set_on else None,
        set_on=set_on,
        fpir=_rate(*count_accepted(strangers, threshold)),
        fnir=_rate(missed, len(rank)),
        cmc=tuple(cmc(rank, scores.shape[1]).tolist()) if len(rank) else (),
        dir=tuple(_dir_at(rate, rank, true_scores, strangers) for rate in RATES),
    )


def _groups(
    config: IdentifyConfig, enrolled: Enrolled, batches: Iterator[Batch], emit: OnOutcome
) -> list[tuple[int, list[Probe]]]:
    """The searches: the position of the person in enrolled.names, -1 for a stranger, and the probes."""
    places = {name: place for place, name in enumerate(enrolled.names)}
    groups: dict[object, tuple[int, list[Probe]]] = {}
    unknown = enrolled_photos = 0
    for batch in batches:
        for probe in batch:
            emit(probe if isinstance(probe, Rejected) else Done(probe.name))
        probes = [probe for probe in batch if not isinstance(probe, Rejected)]
        if not probes:
            continue
        cosines, numbers = enrolled.faces.nearest(np.stack([probe.vectors[0] for probe in probes]), 1)
        for probe, cosine, number in zip(probes, cosines[:, 0], numbers[:, 0], strict=True):
            place = -1 if probe.identity is None else places.get(probe.identity, -1)
            if probe.identity is None:
                unknown += 1
            elif place >= 0 and cosine >= SAME_PHOTO and enrolled.person_of[number] == place:
                enrolled_photos += 1
            else:
                key: object = probe.identity if config.together else len(groups)
                groups.setdefault(key, (place, []))[1].append(probe)
    if unknown:
        emit(Note(f"{unknown} probes without identity were left out"))
    if enrolled_photos:
        emit(Note(f"{enrolled_photos} probes were left out: they are enrolled photos"))
    return list(groups.values())


def _rate(hits: int, trials: int) -> dict[str, float] | None:
    """A rate with its 95 % interval; None without trials."""
    if not trials:
        return None
    low, high = clopper_pearson(hits, trials)
    return {"rate": hits / trials, "low": low, "high": high, "count": hits, "of": trials}


def _dir_at(
    fpir: float, rank: NDArray[np.int64], true_scores: NDArray[np.float64], strangers: NDArray[np.float64]
) -> dict[str, float | None]:
    """Detection and identification rate at the threshold with this FPIR on the strangers."""
    threshold = threshold_at_far(strangers, fpir) if len(strangers) else None
    if threshold is None or not len(rank):
        return {"fpir": fpir, "threshold": None, "dir": None}
    hits, trials = detected(rank, true_scores, threshold)
    return {"fpir": fpir, "threshold": threshold, "dir": hits / trials}
