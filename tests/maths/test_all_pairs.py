"""All pairs: counts against two loops, intervals against other ways to them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import beta

from cosface_cli.engines.embedders.vectors import unit_length
from cosface_cli.maths.all_pairs import EDGES, far_intervals, histogram, tar_intervals

RANDOM = np.random.default_rng(5)


def some_people(people: int, photos: int, spread: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    centres = RANDOM.normal(size=(people, 8))
    codes = np.repeat(np.arange(people), photos)
    vectors = centres[codes] + spread * RANDOM.normal(size=(people * photos, 8))
    return unit_length(vectors.astype(np.float32)), codes.astype(np.int64)


def test_every_pair_is_counted_once_where_its_score_is() -> None:
    vectors, people = some_people(9, 5)
    counts = histogram(vectors, people)
    scores = {True: [], False: []}
    for i, j in combinations(range(len(people)), 2):
        scores[people[i] == people[j]].append(float(vectors[i].astype(np.float64) @ vectors[j].astype(np.float64)))
    assert counts.genuine.sum() == 9 * 10 and counts.impostors.sum() == 45 * 44 // 2 - 90
    for kind, found in ((True, counts.genuine), (False, counts.impostors)):
        for edge in range(0, EDGES.size, 500):
            assert found[edge:].sum() == sum(score >= EDGES[edge] - 1e-7 for score in scores[kind])


def test_more_rows_than_a_tile() -> None:
    vectors, people = some_people(60, 20)
    counts = histogram(vectors, people)
    cosines = vectors @ vectors.T
    upper = np.triu(np.ones_like(cosines, bool), 1)
    same = people[:, None] == people[None]
    assert counts.genuine.sum() == (upper & same).sum() and counts.impostors.sum() == (upper & ~same).sum()
    edge = 12_000
    assert counts.impostors[edge:].sum() == pytest.approx((cosines[upper & ~same] >= EDGES[edge]).sum(), abs=2)


def test_intervals_hold_the_rate_and_the_exact_binomial() -> None:
    vectors, people = some_people(12, 6)
    counts = histogram(vectors, people)
    edges = np.array([0, 11_000, 14_000, 17_000, EDGES.size - 1])
    for found, kind in ((far_intervals, counts.impostors), (tar_intervals, counts.genuine)):
        intervals = found(vectors, people, edges)
        trials = kind.sum()
        for low, high, edge in zip(intervals.low, intervals.high, edges, strict=True):
            hits = kind[edge:].sum()
            exact = (
                beta.ppf(0.025, hits, trials - hits + 1) if hits else 0.0,
                beta.ppf(0.975, hits + 1, trials - hits) if hits < trials else 1.0,
            )
            assert low <= exact[0] + 1e-12 and high >= exact[1] - 1e-12
            assert 0 <= low <= hits / trials <= high <= 1


def test_people_drawn_anew_as_two_loops_do_it() -> None:
    """The middle 95 % of rates over draws of people; a pair of a and b counts w_a w_b times, as Bolle 2004 has it."""
    vectors, people = some_people(7, 4, spread=1.5)
    edge, draws = 13_000, 400
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
                hits += weight * (cosines[i, j] >= EDGES[edge])
        rates.append(hits / trials)
    low, high = np.quantile(rates, (0.025, 0.975))
    found = far_intervals(vectors, people, np.array([edge]), draws)
    hits, trials = histogram(vectors, people).impostors[edge:].sum(), len(people) * (len(people) - 1) // 2 - 7 * 6
    assert found.low[0] == pytest.approx(min(low, beta.ppf(0.025, hits, trials - hits + 1)), abs=1e-9)
    assert found.high[0] == pytest.approx(max(high, beta.ppf(0.975, hits + 1, trials - hits)), abs=1e-9)
    assert high > beta.ppf(0.975, hits + 1, trials - hits)  # few people: the binomial is too sure
