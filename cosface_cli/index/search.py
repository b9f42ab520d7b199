"""Probes to the nearest faces of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.errors import CosfaceError
from cosface_cli.index import SearchConfig, SearchReport
from cosface_cli.index.filters import chosen
from cosface_cli.index.gallery import Gallery
from cosface_cli.index.probes import Asked, read_probes
from cosface_cli.outcomes import Done, OnOutcome, Rejected, Tally, ignore
from cosface_cli.registry import one_of

Hits = list[tuple[float, int]]  # cosine and number of a row

BY = ("face", "identity")
_DEEPER = 4  # times as many faces are looked at while there are too few people among them


def search(config: SearchConfig, emit: OnOutcome = ignore) -> SearchReport:
    """The k nearest rows of the index for each face of each probe, best first; one Done a probe.

    A photo without a usable face is Rejected. Raises ModelMismatch for a store, or a model, other than the index's.
    """
    one_of(config.by, BY, "--by")
    if config.k < 1:
        raise CosfaceError(f"-k {config.k} asks for nothing", hint="give 1 or more")
    gallery = Gallery(config.index, config.exact)
    finder = Finder(gallery, config, chosen(gallery, config.filters, config.since))
    asked = Asked(
        config.probes,
        config.model,
        config.detector,
        config.faces,
        config.min_face,
        config.workers,
        config.min_score,
    )
    tally = Tally()
    hits = 0
    for batch in read_probes(asked, gallery.header, config.index, emit):
        probes = [probe for probe in batch if not isinstance(probe, Rejected)]
        names = [(probe.name, face, score) for probe in probes for face, score in enumerate(probe.scores, 1)]
        vectors = [probe.vectors for probe in probes]
        found = iter(finder.rows(names, finder.hits(np.concatenate(vectors))) if names else [])
        for probe in batch:
            if isinstance(probe, Rejected):
                tally.add(probe)
                emit(probe)
                continue
            rows = tuple(row for _ in probe.vectors for row in next(found))
            tally.add(Done(probe.name))
            emit(Done(probe.name, rows))
            hits += len(rows)
    return SearchReport(tally.done, hits, tally.rejected, gallery.header.rows)


class Finder:
    """Searches an index as a configuration says. among: the rows that are searched, None for all."""

    def __init__(self, gallery: Gallery, config: SearchConfig, among: NDArray[np.int64] | None = None) -> None:
        self._gallery, self._k, self._among = gallery, config.k, among
        self._by_identity = config.by == "identity"
        self._min_cos = config.min_cos

    def hits(self, probes: NDArray[np.float32]) -> list[Hits]:
        """The nearest of each probe (M, D)."""
        if self._by_identity:
            return self._people(probes)
        return self._listed(*self._gallery.search(probes, self._k, self._among))

    def rows(self, probes: Sequence[tuple[str, int, float]], found: Sequence[Hits]) -> list[list[dict[str, Any]]]:
        """The hits of each probe (name, face, the detector's score) as rows of output."""
        shown = iter(self._gallery.shown(np.array([number for hits in found for _, number in hits], np.int64)))
        out = []
        for (name, face, score), hits in zip(probes, found, strict=True):
            rows = []
            for rank, (cos, _) in enumerate(hits, 1):
                identity, source, of_photo, box = next(shown)
                rows.append(
                    {
                        "probe": name,
                        "status": "ok",
                        "reason": None,
                        "probe_face": face,
                        "probe_score": round(score, 5),
                        "rank": rank,
                        "cos": round(cos, 6),
                        "identity": identity,
                        "source": source,
                        "face": of_photo,
                        "box": box,
                    }
                )
            out.append(rows)
        return out

    def _listed(self, cosines: NDArray[np.float64], numbers: NDArray[np.int64]) -> list[Hits]:
        found = [list(zip(*pair, strict=True)) for pair in zip(cosines.tolist(), numbers.tolist(), strict=True)]
        if self._min_cos is None:
            return found
        return [[hit for hit in own if hit[0] >= self._min_cos] for own in found]

    def _people(self, probes: NDArray[np.float32]) -> list[Hits]:
        """The best face of each of the k nearest people; a face without identity stands for itself."""
        out: list[Hits] = [[] for _ in probes]
        held = len(self._gallery) if self._among is None else len(self._among)
        todo, depth = np.arange(len(probes)), _DEEPER * self._k
        while len(todo):
            found = self._listed(*self._gallery.search(probes[todo], depth, self._among))
            again = []
            for at, own in zip(todo, found, strict=True):
                best: dict[object, tuple[float, int]] = {}
                for hit in own:
                    identity = self._gallery.identity(hit[1])
                    best.setdefault(hit[1] if identity is None else identity, hit)
                out[at] = list(best.values())[: self._k]
                if len(out[at]) < self._k and len(own) == depth < held:
                    again.append(at)
            todo, depth = np.array(again, np.int64), _DEEPER * depth
        return out
