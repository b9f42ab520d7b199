"""MegaFace's searches: ranks by the number of distractors, and the curve over all pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.lfw_lists import read_text
from cosface_cli.artifacts.model_identity import ModelIdentity
from cosface_cli.engines.counting.distractor_counts import RANKS, count_distractors
from cosface_cli.engines.counting.pair_counts import PairCounts
from cosface_cli.engines.photos.pair_photos import stem
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bootstrap import (
    Draws,
    TruncatedPairs,
    affordable_draws,
    pair_draws,
    percentile_interval,
    share_draws,
)
from cosface_cli.maths.histogram import BINS, UNIT, binned, count_into, curve_of_bins
from cosface_cli.maths.intervals import clopper_pearson
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.outcomes import Done, Note, OnOutcome
from cosface_cli.verify.faces.source import StoredFaces
from cosface_cli.verify.figures.protocol_figures import FARS
from cosface_cli.verify.figures.protocol_scores import ProtocolScores

SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)  # of the distractors
LEAST_MATCHED = 0.5  # share of a list of noises below which it belongs to another set


def score_searches(
    probes: StoredFaces, distractors: StoredFaces, details: Mapping[str, object], workers: int, emit: OnOutcome
) -> ProtocolScores:
    """Search for each person's photos among the distractors. Raises CosfaceError where no person has two photos."""
    probes, codes = _searchable(probes, emit)
    people = int(codes.max()) + 1
    vectors = unit_length(probes.take(np.arange(len(probes))))
    size = distractors.take(np.array([0])).shape[1]
    if size != vectors.shape[1]:
        problem = f"embeddings of {size} numbers, {probes.path} has {vectors.shape[1]}"
        raise CosfaceError(problem, distractors.path, "use embeddings of one model")
    common = sorted(set(probes.identities) & set(distractors.identities))
    if common:
        words = (
            f"{len(common)} identities have the same name in both ({', '.join(common[:3])}): are they the same people?"
        )
        emit(Note(words))
    sizes = sorted({min(size, len(distractors)) for size in (*SIZES, len(distractors))})

    def read(start: int, stop: int) -> NDArray[np.float32]:
        return distractors.take(np.arange(start, stop))

    distracted = count_distractors(vectors, codes, people, read, len(distractors), sizes, emit, workers)
    emit(Done(str(probes.path)))
    histogram, probe, bins = _genuine(vectors, codes)
    ranked = [{"distractors": count, **_ranked(distracted.nearest[count], probe, bins, codes)} for count in sizes]
    searched = {"probes": len(codes), "people": people, "searches": len(bins)}
    return ProtocolScores(
        model=probes.model or distractors.model or ModelIdentity(name="features", id=""),
        data=hashlib.sha256(f"{probes.data} {distractors.data}".encode()).hexdigest(),
        curve=curve_of_bins(histogram, distracted.counts.impostors),
        draws=_bootstrap(distracted.counts, codes[probe], bins, np.bincount(codes) * len(distractors)),
        identification={**searched, "rank1": ranked[-1]["rank1"], "by_distractors": ranked},
        details=details,
        missing_rule="skip",
    )


def _searchable(probes: StoredFaces, emit: OnOutcome) -> tuple[StoredFaces, NDArray[np.int64]]:
    """The photos of people with two or more, and their people, numbered from 0."""
    names, counts = np.unique(np.array(probes.identities, dtype=object), return_counts=True)
    people = [name for name, count in zip(names, counts, strict=True) if name and count > 1]
    if not people:
        raise CosfaceError("no person has two photos to search for", probes.path, "give folders of people's photos")
    code = {name: number for number, name in enumerate(people)}
    rows = np.array([row for row, name in enumerate(probes.identities) if name in code], np.int64)
    if len(rows) < len(probes):
        emit(Note(f"{len(probes) - len(rows)} probes are left out: no identity, or the only photo of a person"))
    searchable = probes.subset(rows)
    return searchable, np.array([code[name] for name in searchable.identities], np.int64)


def _genuine(
    vectors: NDArray[np.float32], codes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The histogram of each pair once; and for each search, from photo to photo, the probe and the score's bin."""
    histogram = np.zeros(BINS, np.int64)
    probe, scores = [], []
    for code in range(int(codes.max()) + 1):
        rows = np.flatnonzero(codes == code)
        bins = binned(vectors[rows] @ vectors[rows].T)
        one, other = np.triu_indices(len(rows), 1)
        count_into(histogram, bins[one, other])
        probe += [rows[one], rows[other]]
        scores += [bins[one, other]] * 2  # the same in both directions, whatever the product's rounding
    return histogram, np.concatenate(probe), np.concatenate(scores)


def _ranked(
    nearest: NDArray[np.float64], probe: NDArray[np.int64], bins: NDArray[np.float32], codes: NDArray[np.int64]
) -> dict[str, Mapping[str, object]]:
    """The share of searches won at rank 1 and 10. A distractor with the same score ranks before the person's photo."""
    out: dict[str, Mapping[str, object]] = {}
    people = codes[probe]
    trials = np.bincount(people)
    for rank in (1, RANKS):
        won = bins / np.float64(UNIT) > nearest[probe, rank - 1]
        low, high = clopper_pearson(int(won.sum()), len(won))
        band = percentile_interval(share_draws(np.bincount(people[won], minlength=len(trials)), trials))
        bootstrap = {"bootstrap_low": band and band[0], "bootstrap_high": band and band[1]}
        out[f"rank{rank}"] = {"rate": float(won.mean()), "low": low, "high": high, **bootstrap}
    return out


def _bootstrap(
    counts: PairCounts, people: NDArray[np.int64], bins: NDArray[np.float32], impostors: NDArray[np.int64]
) -> Draws | None:
    """People are resampled, distractors are not.

    people: of each search. Each genuine pair is searched in both directions, which leaves the shares as they are;
    impostors: (K,) pairs of each identity.
    """
    scores = np.concatenate([bins / np.float64(UNIT), counts.top.scores])
    draws = affordable_draws(len(scores))
    if not draws:
        return None
    same = np.arange(len(scores)) < len(bins)
    left, right = np.concatenate([people, counts.top.left]), np.concatenate([people, counts.top.right])
    truncated = TruncatedPairs(len(impostors), lambda weight: int(weight @ impostors))
    return pair_draws(scores, same, left, right, FARS, draws, truncated=truncated)


def without_noises(
    probes: StoredFaces, distractors: StoredFaces, listed: Path
) -> tuple[StoredFaces, StoredFaces, Mapping[str, int]]:
    """Both without the photos that a list names, and how many those are. Raises CosfaceError where it fits too few."""
    lines = (line.strip() for line in read_text(listed).split("\n"))
    noises = frozenset(line.rpartition("\t")[2].strip() for line in lines if line and not line.startswith("#"))
    if not noises:
        raise CosfaceError("the list names no photos", listed, "give one name per line")
    matches = [[_listed_as(name, noises) for name in faces.names] for faces in (probes, distractors)]
    matched = len({match for part in matches for match in part} - {None})
    if matched < LEAST_MATCHED * len(noises):
        problem = f"only {matched} of its {len(noises)} photos exist here, it may be a list of another set"
        raise CosfaceError(problem, listed, "correct the names, or leave --noises out")
    rest = [np.array([row for row, match in enumerate(part) if match is None], np.int64) for part in matches]
    if not len(rest[1]):
        raise CosfaceError("it leaves no distractors", listed, "correct the names")
    return probes.subset(rest[0]), distractors.subset(rest[1]), {"listed": len(noises), "matched": matched}


def _listed_as(name: str, names: frozenset[str]) -> str | None:
    """How a list calls a photo: by its whole name, its last level, or either without ending; None if it does not."""
    last = name.rpartition("/")[2]
    return next((call for call in (name, last, stem(name), stem(last)) if call in names), None)
