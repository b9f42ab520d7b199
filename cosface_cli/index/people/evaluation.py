"""How well are people told from strangers? FPIR, FNIR, CMC and DIR over probes whose folder says who they are."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import Evaluation, IdentifyConfig
from cosface_cli.index.people.enrolled import QUALITY_POWER, Enrolled
from cosface_cli.index.probes import Probe
from cosface_cli.maths.identification import cmc, detected, ranks
from cosface_cli.maths.intervals import clopper_pearson
from cosface_cli.maths.roc import rate_at, threshold_at_far

DEEP = 20  # candidates looked at: the last rank of the CMC
RATES = (0.1, 0.03, 0.01, 0.003, 0.001)
ITSELF = 1.0 - 1e-6  # the cosine from which a probe is a photo that is enrolled


class Searches:
    """Probes of known people, each a search, or those of a person together one."""

    def __init__(self, enrolled: Enrolled, together: bool) -> None:
        self._enrolled = enrolled
        self._together = together
        self._places = {name: place for place, name in enumerate(enrolled.names)}
        self._groups: dict[object, list[tuple[NDArray[np.float32], float]]] = {}
        self._own: dict[object, int] = {}
        self._nameless = self._itself = 0

    def add(self, probe: Probe) -> None:
        """Take the first face of a probe; one without a folder, or that is enrolled itself, is left out."""
        if probe.identity is None:
            self._nameless += 1
            return
        vector = probe.vectors[0]
        own = self._places.get(probe.identity, -1)
        cosines, numbers = self._enrolled.faces.nearest(vector[None], 1)
        if own >= 0 and cosines.size and cosines[0, 0] >= ITSELF and self._enrolled.of[numbers[0, 0]] == own:
            self._itself += 1
            return
        key: object = probe.identity if self._together else len(self._groups)
        self._groups.setdefault(key, []).append((vector, max(probe.scores[0], 0.0) ** QUALITY_POWER))
        self._own[key] = own

    def notes(self) -> Iterator[str]:
        """What was left out."""
        if self._nameless:
            yield f"{self._nameless} probes have no folder that says who they are, and were left out"
        if self._itself:
            yield f"{self._itself} probes are enrolled themselves, and were left out"

    def photos_together(self) -> int:
        """Photos of a search, the middle one of all where they differ."""
        return int(np.median([len(group) for group in self._groups.values()])) if self._groups else 1

    def results(self) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
        """Scores (N, K) and places of the best persons, and the place of the own one (N,), -1 for a stranger.

        Raises CosfaceError where there is nothing to search for.
        """
        if not self._groups:
            mend = "give stores or crop folders of people, other photos than those enrolled"
            raise CosfaceError("no probes whose names are known", self._enrolled.faces.root, mend)
        k = min(DEEP, len(self._enrolled.names))
        found = []
        for group in self._groups.values():
            vectors = np.stack([vector for vector, _ in group])
            quality = np.array([weight for _, weight in group])
            found.append(self._enrolled.candidates(vectors, quality if quality.any() else quality + 1, k))
        scores = np.stack([scores for scores, _ in found])
        persons = np.stack([persons for _, persons in found])
        return scores, persons, np.array(list(self._own.values()), np.int64)


def evaluated(
    config: IdentifyConfig, enrolled: Enrolled, searches: Searches, threshold: float, set_on: int
) -> Evaluation:
    """The figures at the threshold, and over all thresholds."""
    scores, persons, own = searches.results()
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
