"""Intervals of rates over all pairs against two loops, and other ways to them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import beta

from cosface_cli.maths.pair_intervals import far_intervals, tar_intervals
from cosface_cli.maths.unit_vectors import unit_length

RANDOM = np.random.default_rng(5)


def some_people(people: int, photos: int, spread: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    centres = RANDOM.normal(size=(people, 8))
    codes = np.repeat(np.arange(people), photos)
    vectors = centres[codes] + spread * RANDOM.normal(size=(people * photos, 8))
    return unit_length(vectors.astype(np.float32)), codes.astype(np.int64)


def accepted(vectors: np.ndarray, people: np.ndarray, threshold: float) -> dict[bool, tuple[int, int]]:
    """Hits and trials of genuine (True) and impostor pairs, by two loops."""
    found = {True: [0, 0], False: [0, 0]}
    for i, j in combinations(range(len(people)), 2):
        tally = found[bool(people[i] == people[j])]
        tally[0] += float(vectors[i].astype(np.float64) @ vectors[j].astype(np.float64)) >= threshold
        tally[1] += 1
    return {kind: (hits, trials) for kind, (hits, trials) in found.items()}


def test_intervals_hold_the_rate_and_the_exact_binomial() -> None:
    vectors, people = some_people(12, 6)
    thresholds = np.array([-1.0, 0.1, 0.4, 0.7, 1.01])
    for found, genuine in ((far_intervals, False), (tar_intervals, True)):
        intervals = found(vectors, people, thresholds)
        for low, high, threshold in zip(intervals.low, intervals.high, thresholds, strict=True):
            hits, trials = accepted(vectors, people, threshold)[genuine]
            exact = (
                beta.ppf(0.025, hits, trials - hits + 1) if hits else 0.0,
                beta.ppf(0.975, hits + 1, trials - hits) if hits < trials else 1.0,
            )
            assert low <= exact[0] + 1e-12 and high >= exact[1] - 1e-12
            assert 0 <= low <= hits / trials <= high <= 1


def test_people_drawn_anew_as_two_loops_do_it() -> None:
    """The middle 95 % of rates over draws of people; a pair of a and b counts w_a w_b times, as Bolle 2004 has it."""
    vectors, people = some_people(7, 4, spread=1.5)
    threshold, draws = 0.3, 400
    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    random = np.random.default_rng(0)
    rates = []
    for _ in range(draws):
        times = np.bincount(random.integers(7, size=7), minlength=7)
        hits = trials = 0
        for i, j in combinations(range(len(people)), 2):
            if people[i] != people[j]:
                weight = times[people[i]] * times[people[j]]
                trials += weight
                hits += weight * (cosines[i, j] >= threshold)
        rates.append(hits / trials)
    low, high = np.quantile(rates, (0.025, 0.975))
    found = far_intervals(vectors, people, np.array([threshold]), draws)
    hits, trials = accepted(vectors, people, threshold)[False]
    assert found.low[0] == pytest.approx(min(low, beta.ppf(0.025, hits, trials - hits + 1)), abs=1e-9)
    assert found.high[0] == pytest.approx(max(high, beta.ppf(0.975, hits + 1, trials - hits)), abs=1e-9)
    assert high > beta.ppf(0.975, hits + 1, trials - hits)  # few people: the binomial is too sure


def test_more_people_than_groups_and_more_rows_than_a_tile() -> None:
    """The rate lies in its interval, which is hardly wider than with every person for himself."""
    vectors, people = some_people(400, 3)
    cosines = vectors @ vectors.T
    other = np.triu(people[:, None] != people[None], 1)
    found = far_intervals(vectors, people, np.array([0.5]), draws=200)
    rate = (cosines[other] >= 0.5).mean()
    assert found.low[0] < rate < found.high[0] and found.high[0] - found.low[0] < rate
