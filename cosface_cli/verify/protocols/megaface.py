"""MegaFace (Kemelmacher-Shlizerman 2016): people's photos searched for among up to a million distractors.

Each photo of a person is a probe for each other one of them: rank 1 is won where that one is nearer to the probe than
every distractor. Verification takes all pairs of one person's photos as genuine, all of a probe and a distractor as
impostors. Source and distractors are stores, or folders of MegaFace's .bin feature files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosface_cli.artifacts.lists.lfw_lists import read_text
from cosface_cli.engines.counting.all_pairs import PairCounts
from cosface_cli.engines.counting.distractors import RANKS, count_distractors
from cosface_cli.errors import CosfaceError
from cosface_cli.maths.bootstrap import Draws, Listed, affordable_draws, pair_draws, percentile_interval, share_draws
from cosface_cli.maths.histogram import BINS, UNIT, binned, count_into, curve_of_bins
from cosface_cli.maths.intervals import clopper_pearson
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.outcomes import Done, Note, OnOutcome
from cosface_cli.verify import ProtocolConfig, flag_of
from cosface_cli.verify.faces.features import Features, named, open_features, require_one_model, write_features
from cosface_cli.verify.figures.pair_scores import Scored
from cosface_cli.verify.figures.rates_by_far import FARS

SIZES = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
PHOTOS_ONLY = ("pairs", "models", "fuse", "flip", "crops_template", "detector", "faces", "min_face")
LEAST_MATCHED = 0.5  # share of a noise list below which it is another set's


def score(config: ProtocolConfig, emit: OnOutcome) -> Scored:
    """Rank 1 and rank 10 by the number of distractors, and the curve of verification.

    noises: a list of photos to leave out, one a line, by name with or without folder and ending; one that names less
    than half of its photos here is an error. features: a folder that both stores are written to as feature files.
    """
    for option in sorted(config.changed() & set(PHOTOS_ONLY)):
        raise CosfaceError(f"{flag_of(option)} changes nothing about embeddings", config.source, "leave it out")
    if config.distractors is None:
        raise CosfaceError(
            "MegaFace needs distractors", config.source, "name a store or folder of features: --distractors"
        )
    with ExitStack() as open_files:
        probes, distractors = (open_features(path, open_files) for path in (config.source, config.distractors))
        require_one_model(probes, distractors)
        details: dict[str, Any] = {}
        if config.noises is not None:
            probes, distractors, details["noises"] = _without(probes, distractors, config.noises)
        if config.features is not None:
            write_features(probes, config.features / "probes")
            write_features(distractors, config.features / "distractors")
        return _score(probes, distractors, details, config.workers, emit)


def _score(
    probes: Features, distractors: Features, details: Mapping[str, Any], workers: int, emit: OnOutcome
) -> Scored:
    probes, codes = _searchable(probes, emit)
    people = int(codes.max()) + 1
    vectors = unit_length(probes.take(np.arange(len(probes))))
    size = distractors.take(np.array([0])).shape[1]
    if size != vectors.shape[1]:
        problem = f"embeddings of {size} numbers, {probes.path} has {vectors.shape[1]}"
        raise CosfaceError(problem, distractors.path, "take those of one model")
    alike = sorted(set(probes.identities) & set(distractors.identities))
    if alike:
        words = f"{len(alike)} identities are called alike in both ({', '.join(alike[:3])}): are they the same people?"
        emit(Note(words))
    sizes = sorted({min(size, len(distractors)) for size in (*SIZES, len(distractors))})

    def read(start: int, stop: int) -> NDArray[np.float32]:
        return distractors.take(np.arange(start, stop))

    found = count_distractors(vectors, codes, people, read, len(distractors), sizes, emit, workers)
    emit(Done(str(probes.path)))
    histogram, probe, bins = _genuine(vectors, codes)
    ranked = [{"distractors": count, **_ranked(found.nearest[count], probe, bins, codes)} for count in sizes]
    searched = {"probes": len(codes), "people": people, "searches": len(bins)}
    return Scored(
        *(probes.model or distractors.model or ("features", "", "none")),
        hashlib.sha256(f"{probes.data} {distractors.data}".encode()).hexdigest(),
        curve=curve_of_bins(histogram, found.counts.impostors),
        draws=_draws(found.counts, codes[probe], bins, np.bincount(codes) * len(distractors)),
        identification={**searched, "rank1": ranked[-1]["rank1"], "by_distractors": ranked},
        details=details,
    )


def _searchable(probes: Features, emit: OnOutcome) -> tuple[Features, NDArray[np.int64]]:
    """The photos of people with two or more, and whose they are, numbered from 0."""
    names, counts = np.unique(np.array(probes.identities, dtype=object), return_counts=True)
    people = [name for name, count in zip(names, counts, strict=True) if name and count > 1]
    if not people:
        raise CosfaceError("no person has two photos to search for", probes.path, "give folders of people's photos")
    code = {name: number for number, name in enumerate(people)}
    rows = np.array([row for row, name in enumerate(probes.identities) if name in code], np.int64)
    if len(rows) < len(probes):
        emit(Note(f"{len(probes) - len(rows)} probes are of nobody, or of people with one photo, and are left out"))
    kept = probes.chosen(rows)
    return kept, np.array([code[name] for name in kept.identities], np.int64)


def _genuine(
    vectors: NDArray[np.float32], codes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The histogram of each pair once; and of each search, a photo for another, the probe and the score's bin."""
    histogram = np.zeros(BINS, np.int64)
    probe, found = [], []
    for code in range(int(codes.max()) + 1):
        rows = np.flatnonzero(codes == code)
        bins = binned(vectors[rows] @ vectors[rows].T)
        one, other = np.triu_indices(len(rows), 1)
        count_into(histogram, bins[one, other])
        probe += [rows[one], rows[other]]
        found += [bins[one, other]] * 2  # the same both ways, whatever the product's rounding
    return histogram, np.concatenate(probe), np.concatenate(found)


def _ranked(
    nearest: NDArray[np.float64], probe: NDArray[np.int64], bins: NDArray[np.float32], codes: NDArray[np.int64]
) -> dict[str, Mapping[str, Any]]:
    """The share of searches won at rank 1 and 10; whoever scores the same stands before one's own photo."""
    out: dict[str, Mapping[str, Any]] = {}
    who = codes[probe]
    trials = np.bincount(who)
    for rank in (1, RANKS):
        won = bins / np.float64(UNIT) > nearest[probe, rank - 1]
        low, high = clopper_pearson(int(won.sum()), len(won))
        band = percentile_interval(share_draws(np.bincount(who[won], minlength=len(trials)), trials))
        bootstrap = {"bootstrap_low": band and band[0], "bootstrap_high": band and band[1]}
        out[f"rank{rank}"] = {"rate": float(won.mean()), "low": low, "high": high, **bootstrap}
    return out


def _draws(
    counts: PairCounts, who: NDArray[np.int64], bins: NDArray[np.float32], impostors: NDArray[np.int64]
) -> Draws | None:
    """People drawn anew, distractors as they are. who: of each search, which has each genuine pair twice, so that
    shares are the same; impostors: (K,) pairs of each identity."""
    scores = np.concatenate([bins / np.float64(UNIT), counts.top.scores])
    draws = affordable_draws(len(scores))
    if not draws:
        return None
    same = np.arange(len(scores)) < len(bins)
    left, right = np.concatenate([who, counts.top.left]), np.concatenate([who, counts.top.right])
    listed = Listed(len(impostors), lambda weight: int(weight @ impostors))
    return pair_draws(scores, same, left, right, FARS, draws, listed=listed)


def _without(probes: Features, distractors: Features, listed: Path) -> tuple[Features, Features, Mapping[str, int]]:
    """Both without the photos that a list names, and how many those are. Raises CosfaceError where it fits too few."""
    lines = (line.strip() for line in read_text(listed).split("\n"))
    noises = frozenset(line.rpartition("\t")[2].strip() for line in lines if line and not line.startswith("#"))
    if not noises:
        raise CosfaceError("no photos are named here", listed, "give one name a line")
    calls = [[named(name, noises) for name in features.names] for features in (probes, distractors)]
    matched = len({call for part in calls for call in part} - {None})
    if matched < LEAST_MATCHED * len(noises):
        problem = f"of its {len(noises)} photos only {matched} are here: is it of another set?"
        raise CosfaceError(problem, listed, "correct the names, or leave --noises out")
    kept = [np.array([row for row, call in enumerate(part) if call is None], np.int64) for part in calls]
    if not len(kept[1]):
        raise CosfaceError("it leaves no distractors", listed, "correct the names")
    return probes.chosen(kept[0]), distractors.chosen(kept[1]), {"listed": len(noises), "matched": matched}
