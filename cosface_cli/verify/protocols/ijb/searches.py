"""IJB's identification: probes searched for in each gallery, in the closed set and in the open set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.ijb_meta import MetaFiles, read_subjects
from cosface_cli.maths.identification import NOWHERE, cmc, open_set, ranks
from cosface_cli.verify.figures.protocol_scores import Missing
from cosface_cli.verify.protocols.ijb.templates import Templates

FPIRS = (1e-1, 1e-2, 1e-3)
RANKS = (1, 5, 10)
PROBES = 1024  # probes searched for at a time


def search_galleries(meta: MetaFiles, templates: Templates, missing: Missing) -> Mapping[str, object] | None:
    """The figures of each gallery and their mean; None where the set has no galleries or no probes.

    Each gallery has its own thresholds, from the probes of people who are not in it.
    """
    if meta.probes is None or not meta.galleries:
        return None
    subjects = read_subjects(meta.probes)
    probes = templates.vectors[templates.rows(np.array(list(subjects), np.int64), meta.probes)]
    probe_people = np.array(list(subjects.values()), np.int64)
    figures = {}
    for name, path in meta.galleries.items():
        gallery = read_subjects(path)
        rows = templates.rows(np.array(list(gallery), np.int64), path)
        people = np.array(list(gallery.values()), np.int64)
        figures[name] = _search(templates.vectors[rows], people, probes, probe_people, missing)
    return {"galleries": figures, "mean": _mean(list(figures.values()))}


def _search(
    gallery: NDArray[np.float32],
    people: NDArray[np.int64],
    probes: NDArray[np.float32],
    probe_people: NDArray[np.int64],
    missing: Missing,
) -> dict[str, Any]:
    """Closed-set ranks and open-set rates of one gallery.

    A probe without a face matches nobody. With missing "skip" it is left out, and so are probes whose person has no
    face in the gallery.
    """
    enrolled = np.isfinite(gallery[:, 0])
    has_face = np.isfinite(probes[:, 0])
    mated = np.isin(probe_people, people[enrolled] if missing == "skip" else people)
    if missing == "skip":
        mated &= has_face
    unmated = has_face & ~np.isin(probe_people, people)
    enrolled_vectors = gallery[enrolled].astype(np.float64)
    count = len(probe_people)
    rank, mate_score, best_score = np.full(count, NOWHERE), np.full(count, -np.inf), np.full(count, -np.inf)
    rows = np.flatnonzero(has_face)
    for start in range(0, len(rows), PROBES):
        block = rows[start : start + PROBES]
        scores = probes[block].astype(np.float64) @ enrolled_vectors.T
        gallery_people = np.broadcast_to(people[enrolled], scores.shape)
        rank[block], mate_score[block] = ranks(scores, gallery_people, probe_people[block])
        best_score[block] = scores.max(axis=1, initial=-np.inf)
    open_sets = [asdict(open_set(rank[mated], mate_score[mated], best_score[unmated], fpir)) for fpir in FPIRS]
    shares = cmc(rank[mated], max(RANKS)).tolist() if mated.any() else [None] * max(RANKS)
    return {
        "gallery": len(people),
        "mated": int(mated.sum()),
        "unmated": int(unmated.sum()),
        **{f"rank{limit}": shares[limit - 1] for limit in RANKS},
        "open_set": open_sets,
    }


def _mean(galleries: list[dict[str, Any]]) -> dict[str, object]:
    """The mean of the galleries' figures; None where a gallery has none."""

    def mean(values: list[float | None]) -> float | None:
        numbers = [value for value in values if value is not None]
        return float(np.mean(numbers)) if len(numbers) == len(values) else None

    means: dict[str, object] = {f"rank{limit}": mean([one[f"rank{limit}"] for one in galleries]) for limit in RANKS}
    rates = zip(*(one["open_set"] for one in galleries), strict=True)
    means["open_set"] = [{"fpir": row[0]["fpir"], "tpir": mean([each["tpir"] for each in row])} for row in rates]
    return means
