"""The hits of probes: the nearest rows of a gallery, or the nearest identities with their best row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cosface_cli.index import SearchConfig
from cosface_cli.index.search.gallery import Gallery

Hits = list[tuple[float, int]]  # cosine and row number, best first

_DEEPER = 4  # factor by which the search is widened while it finds too few identities


class HitFinder:
    """Searches a gallery as a config says."""

    def __init__(self, gallery: Gallery, config: SearchConfig, among: NDArray[np.int64] | None = None) -> None:
        """among: the numbers of the rows to search, ascending; None for all rows."""
        self._gallery, self._k, self._among = gallery, config.k, among
        self._by_identity = config.by == "identity"
        self._min_cos = config.min_cos

    def hits(self, probes: NDArray[np.float32]) -> list[Hits]:
        """The hits of each probe (M, D)."""
        if self._by_identity:
            return self._identities(probes)
        return self._rows(probes, self._k)

    def _rows(self, probes: NDArray[np.float32], k: int) -> list[Hits]:
        cosines, numbers = self._gallery.search(probes, k, self._among)
        hits = [list(zip(*pair, strict=True)) for pair in zip(cosines.tolist(), numbers.tolist(), strict=True)]
        if self._min_cos is None:
            return hits
        return [[hit for hit in of_probe if hit[0] >= self._min_cos] for of_probe in hits]

    def _identities(self, probes: NDArray[np.float32]) -> list[Hits]:
        """The best row of each of the k nearest identities; a row without identity counts as an identity."""
        hits: list[Hits] = [[] for _ in probes]
        searched = len(self._gallery) if self._among is None else len(self._among)
        pending, depth = np.arange(len(probes)), _DEEPER * self._k
        while len(pending):
            too_few = []
            for probe, rows in zip(pending, self._rows(probes[pending], depth), strict=True):
                best: dict[object, tuple[float, int]] = {}
                for hit in rows:
                    identity = self._gallery.identity(hit[1])
                    best.setdefault(hit[1] if identity is None else identity, hit)
                hits[probe] = list(best.values())[: self._k]
                if len(hits[probe]) < self._k and len(rows) == depth < searched:
                    too_few.append(probe)
            pending, depth = np.array(too_few, np.int64), _DEEPER * depth
        return hits


def hit_rows(
    gallery: Gallery, faces: Sequence[tuple[str, int, float]], hits: Sequence[Hits]
) -> list[list[Mapping[str, object]]]:
    """The rows of output for each face of a probe, given as (probe, number of the face, detection score)."""
    numbers = np.array([number for of_face in hits for _, number in of_face], np.int64)
    summaries = iter(gallery.summaries(numbers))
    rows_of_faces = []
    for (probe, probe_face, score), of_face in zip(faces, hits, strict=True):
        rows: list[Mapping[str, object]] = []
        for rank, (cos, _) in enumerate(of_face, 1):
            identity, source, face, box = next(summaries)
            rows.append(
                {
                    "probe": probe,
                    "status": "ok",
                    "reason": None,
                    "probe_face": probe_face,
                    "probe_score": round(score, 5),
                    "rank": rank,
                    "cos": round(cos, 6),
                    "identity": identity,
                    "source": source,
                    "face": face,
                    "box": box,
                }
            )
        rows_of_faces.append(rows)
    return rows_of_faces
