"""Ranks and the open set, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cosface_cli.maths.open_set import open_set, ranks


def test_ranks_by_hand():
    scores = [
        [0.9, 0.5, 0.1],  # person 7: first
        [0.6, 0.5, 0.7],  # person 8: third
        [0.4, 0.4, 0.1],  # person 7: ties with 8, so second
        [0.9, 0.8, 0.7],  # person 5: not there
    ]
    rank, own = ranks(scores, [7, 8, 9], [7, 8, 7, 5])
    assert rank.tolist() == [1, 3, 2, 0]
    assert own.tolist() == [0.9, 0.5, 0.4, -np.inf]


def test_ranks_of_an_empty_gallery():
    rank, own = ranks(np.zeros((2, 0)), [], [1, 2])
    assert rank.tolist() == [0, 0] and own.tolist() == [-np.inf, -np.inf]


def test_open_set_by_hand():
    """Four unmated searches: at FPIR .25 one may find somebody, so the threshold lies just over the second, .6."""
    rank, own = [1, 1, 2, 25], [0.9, 0.55, 0.65, 0.8]
    found = open_set(rank, own, [0.7, 0.6, 0.3, 0.2], 0.25)
    assert found.tpir == 0.5 and found.threshold == np.nextafter(0.6, 1) and found.achieved_fpir == 0.25
    assert open_set(rank, own, [0.7, 0.6, 0.3, 0.2], 0.25, within=1).tpir == 0.25
    assert open_set(rank, own, [0.7, 0.6, 0.3, 0.2], 1.0).tpir == 0.75
    # tied on top: one may pass, two would, so none does
    assert open_set(rank, own, [0.6, 0.6, 0.3, 0.2], 0.25).achieved_fpir == 0.0


def test_an_open_set_that_cannot_be_resolved():
    found = open_set([1], [0.9], [0.5, 0.4], 0.01)
    assert (found.tpir, found.threshold, found.unmated, found.unmated_needed) == (None, None, 2, 100)
    assert open_set([], [], [0.5, 0.4], 0.5).tpir is None


@pytest.mark.parametrize("seed", range(3))
def test_ranks_by_sorting(seed: int):
    random = np.random.default_rng(seed)
    scores = random.random((30, 12))
    people = random.permutation(12)
    probes = random.integers(0, 15, size=30)
    rank, _ = ranks(scores, people, probes)
    for row, probe, place in zip(scores, probes, rank, strict=True):
        order = people[np.argsort(-row)].tolist()
        assert place == (order.index(probe) + 1 if probe in order else 0)
