"""How well are people told from strangers? FPIR, FNIR, CMC and DIR over probes whose folder says who they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import Evaluation, IdentifyConfig
from cosface_cli.index.people.enrolled import Enrolled
from cosface_cli.index.people.strangers import search_by, threshold_of
from cosface_cli.index.probes import Probe
from cosface_cli.maths.identification import cmc, detected, ranks
from cosface_cli.maths.intervals import clopper_pearson
from cosface_cli.maths.roc import rate_at, threshold_at_far
from cosface_cli.outcomes import Done, Note, OnOutcome, Rejected

DEEP = 20  # candidates looked at: the last rank of the CMC
RATES = (0.1, 0.03, 0.01, 0.003, 0.001)
ITSELF = 1.0 - 1e-6  # the cosine from which a probe is a photo that is enrolled


def evaluated(
    config: IdentifyConfig, enrolled: Enrolled, batches: Iterator[list[Probe | Rejected]], emit: OnOutcome
) -> Evaluation:
    """The figures at the threshold, and over all thresholds. A probe's first face is taken; one without a folder, or
    that is enrolled itself, is left out and counted aloud. Raises CosfaceError where no probe is left."""
    groups = _groups(config, enrolled, batches, emit)
    if not groups:
        hint = "give stores or crop folders of people, other photos than those enrolled"
        raise CosfaceError("no probes whose names are known", config.index, hint)
    together = int(np.median([len(group) for _, group in groups]))
    threshold, set_on = threshold_of(config, enrolled, together, emit)
    scores, persons = enrolled.candidates([search_by(group) for _, group in groups], DEEP)
    own = np.array([place for place, _ in groups], np.int64)
    mated = own >= 0
    found, own_scores = ranks(scores[mated], persons[mated], own[mated])
    strangers = scores[~mated, 0]
    missed = len(found) - detected(found, own_scores, threshold)[0]
    return Evaluation(
        mated=int(mated.sum()),
        unmated=int((~mated).sum()),
        people=len(enrolled.names),
        pool=config.pool,
        together=config.together,
        threshold=threshold,
        fpir_wished=config.fpir if set_on else None,
        set_on=set_on,
        fpir=_rate(*rate_at(strangers, threshold)),
        fnir=_rate(missed, len(found)),
        cmc=tuple(cmc(found, scores.shape[1]).tolist()) if len(found) else (),
        dir=tuple(_point(rate, found, own_scores, strangers) for rate in RATES),
    )


def _groups(
    config: IdentifyConfig, enrolled: Enrolled, batches: Iterator[list[Probe | Rejected]], emit: OnOutcome
) -> list[tuple[int, list[Probe]]]:
    """The searches: the place of their person, -1 for a stranger, and the probes of each."""
    places = {name: place for place, name in enumerate(enrolled.names)}
    groups: dict[object, tuple[int, list[Probe]]] = {}
    nameless = enrolled_itself = 0
    for batch in batches:
        for told in batch:
            emit(told if isinstance(told, Rejected) else Done(told.name))
        probes = [probe for probe in batch if not isinstance(probe, Rejected)]
        if not probes:
            continue
        cosines, numbers = enrolled.faces.nearest(np.stack([probe.vectors[0] for probe in probes]), 1)
        for probe, cosine, number in zip(probes, cosines[:, 0], numbers[:, 0], strict=True):
            own = -1 if probe.identity is None else places.get(probe.identity, -1)
            if probe.identity is None:
                nameless += 1
            elif own >= 0 and cosine >= ITSELF and enrolled.of[number] == own:
                enrolled_itself += 1
            else:
                key: object = probe.identity if config.together else len(groups)
                groups.setdefault(key, (own, []))[1].append(probe)
    if nameless:
        emit(Note(f"{nameless} probes have no folder that says who they are, and were left out"))
    if enrolled_itself:
        emit(Note(f"{enrolled_itself} probes are enrolled themselves, and were left out"))
    return list(groups.values())


def _rate(hits: int, trials: int) -> dict[str, float] | None:
    if not trials:
        return None
    low, high = clopper_pearson(hits, trials)
    return {"rate": hits / trials, "low": low, "high": high, "count": hits, "of": trials}


def _point(
    rate: float, found: NDArray[np.int64], own_scores: NDArray[np.float64], strangers: NDArray[np.float64]
) -> dict[str, float | None]:
    threshold = threshold_at_far(strangers, rate) if len(strangers) else None
    if threshold is None or not len(found):
        return {"fpir": rate, "threshold": None, "dir": None}
    hits, trials = detected(found, own_scores, threshold)
    return {"fpir": rate, "threshold": threshold, "dir": hits / trials}
