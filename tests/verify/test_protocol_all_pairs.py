"""All pairs of a store against every pair written out, in blocks of any size and with any number of threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosface_cli.engines.counting import pair_counts
from cosface_cli.engines.counting.pair_counts import count_all_pairs
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.bootstrap import pair_draws, percentile_interval
from cosface_cli.maths.curve import roc
from cosface_cli.maths.histogram import BINS, SPARE, UNIT, binned, count_into, curve_of_bins
from cosface_cli.maths.rates import equal_error, tar_at_far
from cosface_cli.maths.unit_vectors import unit_length
from cosface_cli.outcomes import Progress, ignore
from cosface_cli.verify.protocols.all_pairs import AllPairsConfig
from cosface_cli.verify.stage import verify_protocol
from tests.verify.conftest import MakeStore, at_angle, collect


def people(rows: int, identities: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors (rows, 24) around one centre for each identity, identities in no order."""
    random = np.random.default_rng(seed)
    codes = random.integers(identities, size=rows)
    centres = random.normal(size=(identities, 24))
    return unit_length((centres[codes] + random.normal(size=(rows, 24))).astype(np.float32)), codes


def brute(vectors: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    one, other = np.triu_indices(len(codes), 1)
    scores = np.einsum("nd,nd->n", vectors[one].astype(np.float64), vectors[other].astype(np.float64))
    return scores, codes[one] == codes[other], one, other


@pytest.mark.parametrize(("rows", "columns", "held"), [(1024, 4096, 16384), (7, 16, 14), (16, 5, 32), (1, 3, 2)])
def test_counts_are_those_of_every_pair(monkeypatch: pytest.MonkeyPatch, rows: int, columns: int, held: int):
    monkeypatch.setattr(pair_counts, "ROWS", rows)
    monkeypatch.setattr(pair_counts, "COLUMNS", columns)
    monkeypatch.setattr(pair_counts, "ROWS_IN_MEMORY", held)
    vectors, codes = people(103 if rows > 1 else 19, 9)
    found = count_all_pairs(lambda a, b: vectors[a:b], codes, ignore, workers=2)
    scores, same, _, _ = brute(vectors, codes)
    assert (found.genuine.sum(), found.impostors.sum()) == (same.sum(), (~same).sum())
    # a score of single precision may lie one bin off where it is at an edge
    for mine, theirs in ((found.genuine, scores[same]), (found.impostors, scores[~same])):
        got = np.repeat((np.arange(BINS) - UNIT - SPARE) / UNIT, mine)
        np.testing.assert_allclose(got, np.sort(theirs), atol=2.1 / UNIT)
    assert found.genuine_pairs is not None and len(found.genuine_pairs.scores) == same.sum()
    assert sorted(found.top.scores) == pytest.approx(np.sort(scores[~same]), abs=2.1 / UNIT)


def test_the_figures_are_those_of_every_pair():
    vectors, codes = people(400, 40)
    found = count_all_pairs(lambda a, b: vectors[a:b], codes, ignore)
    scores, same, _, _ = brute(vectors, codes)
    curve, exact = curve_of_bins(found.genuine, found.impostors), roc(scores, same)
    for far in (0.1, 0.01, 0.001):
        mine, theirs = tar_at_far(curve, far), tar_at_far(exact, far)
        assert (mine.genuine, mine.impostors) == (theirs.genuine, theirs.impostors)
        assert mine.tar == theirs.tar and mine.achieved_far == theirs.achieved_far
        assert mine.threshold == pytest.approx(theirs.threshold, abs=2.1 / UNIT)
    assert equal_error(curve).eer == equal_error(exact).eer


def test_counts_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pair_counts, "ROWS", 16)
    monkeypatch.setattr(pair_counts, "COLUMNS", 64)
    monkeypatch.setattr(pair_counts, "MAX_KEPT", 500)
    vectors, codes = people(300, 3)
    one, four = (count_all_pairs(lambda a, b: vectors[a:b], codes, ignore, workers=n) for n in (1, 4))
    np.testing.assert_array_equal(one.genuine, four.genuine)
    np.testing.assert_array_equal(one.impostors, four.impostors)
    assert sorted(one.top.scores) == sorted(four.top.scores)
    assert one.genuine_pairs is None  # there are more than 500
    scores, same, _, _ = brute(vectors, codes)
    assert 490 <= len(one.top.scores) <= 500
    assert min(one.top.scores) == pytest.approx(np.sort(scores[~same])[-len(one.top.scores)], abs=2.1 / UNIT)


def test_progress_counts_pairs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pair_counts, "ROWS_IN_MEMORY", 32)
    monkeypatch.setattr(pair_counts, "ROWS", 16)
    monkeypatch.setattr(pair_counts, "COLUMNS", 24)
    vectors, codes = people(100, 5)
    moves: list[Progress] = []
    count_all_pairs(lambda a, b: vectors[a:b], codes, lambda o: moves.append(o) if isinstance(o, Progress) else None)
    assert moves[-1] == Progress(4950, 4950) and [m.done for m in moves] == sorted(m.done for m in moves)


def test_bins_round_down_and_hold_what_rounding_adds():
    edges = np.array([-1, -0.5, -1 / UNIT, 0, 1 / UNIT, 0.25, 1], np.float32)
    assert (binned(edges) / UNIT).tolist() == edges.tolist()
    below = np.where(edges == 0, np.float32(-1e-15), np.nextafter(edges, np.float32(-2)))
    assert (binned(below) < edges * UNIT).all()
    over = np.array([1.000001, -1.000001], np.float32)
    scores = np.concatenate([edges, below, over, [np.float32(pair_counts.EXCLUDED)] * 3])
    counter = pair_counts.BlockCounter()
    counter.count(scores)
    few = np.zeros(BINS, np.int64)
    count_into(few, binned(scores[:-3]))
    np.testing.assert_array_equal(counter.counts, few)
    assert few.sum() == 16 and few[UNIT + SPARE] == 2 and few[UNIT + SPARE + UNIT // 4] == 1


def test_a_store_by_hand(make_store: MakeStore):
    """Two of A at 0 and 60 degrees, one of B at 90, one without a folder: cos 60 against cos 90 and cos 30."""
    notes: list[str] = []
    store = make_store(
        {"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(60), "B/1.jpg": at_angle(90), "alone.jpg": at_angle(1)}
    )
    found = verify_protocol(AllPairsConfig(source=store), collect(notes))
    assert (found.protocol, found.pairs, found.genuine, found.impostors, found.accuracy) == ("all-pairs", 3, 1, 2, None)
    assert found.details["faces"] == 3 and found.details["identities"] == 2
    assert any("1 faces are not in a person's folder" in note for note in notes)


def test_intervals_are_those_of_the_pairs_written_out(make_store: MakeStore):
    vectors, codes = people(150, 20)
    store = make_store({f"p{code:02}/{n}.jpg": vector for n, (vector, code) in enumerate(zip(vectors, codes))})  # noqa: B905
    found = verify_protocol(AllPairsConfig(source=store))
    scores, same, one, other = brute(vectors, codes)
    first = {code: place for place, code in enumerate(dict.fromkeys(codes.tolist()))}  # numbered as they come
    numbered = np.array([first[code] for code in codes])
    draws = pair_draws(scores, same, numbered[one], numbered[other], [0.1, 0.01])
    for place, rate in enumerate(found.tar_at_far[:2]):
        interval = percentile_interval(draws.tar[:, place])
        assert interval is not None
        assert (rate["bootstrap_low"], rate["bootstrap_high"]) == pytest.approx(interval, abs=2e-3)
        assert rate["bootstrap_low"] < rate["tar"] < rate["bootstrap_high"]


def test_sources_without_pairs_are_errors(make_store: MakeStore, tmp_path: Path):
    with pytest.raises(CosfaceError, match="no identity has two faces"):
        verify_protocol(AllPairsConfig(source=make_store({"A/1.jpg": at_angle(0), "B/1.jpg": at_angle(9)})))
    with pytest.raises(CosfaceError, match="all faces are of one identity"):
        verify_protocol(AllPairsConfig(source=make_store({"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(9)})))
    store = make_store({"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(9), "B/1.jpg": at_angle(90)})
    with pytest.raises(ModelMismatch, match="made with --flip none, expected --flip sum"):
        verify_protocol(AllPairsConfig(source=store, flip="sum"))


def test_a_list_names_the_faces(make_store: MakeStore, tmp_path: Path):
    store = make_store({f"{who}/{who}_000{n}.jpg": at_angle(17 * n) for n, who in enumerate("AABBCC", 1)})
    listed = tmp_path / "pairs.txt"
    listed.write_text("1\t1\nA\t1\t2\nA\t1\tC\t5\n")
    found = verify_protocol(AllPairsConfig(source=store, pairs=listed))
    assert (found.pairs, found.genuine, found.impostors) == (3, 1, 2)
    rows = tmp_path / "rows.csv"
    rows.write_text("left,right\nA/A_0001.jpg,A/A_0002.jpg\nB/B_0003.jpg,A/A_0002.jpg\n")
    assert verify_protocol(AllPairsConfig(source=store, pairs=rows)).pairs == 3
    people = tmp_path / "people.txt"
    people.write_text("1\nA\t2\n")
    with pytest.raises(CosfaceError, match="all faces are of one identity"):
        verify_protocol(AllPairsConfig(source=store, pairs=people))


def test_rows_that_are_no_unit_vectors_are_left_out(make_store: MakeStore):
    store = make_store(
        {"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(9), "B/1.jpg": at_angle(90), "B/2.jpg": np.array([np.nan, 1])}
    )
    found = verify_protocol(AllPairsConfig(source=store))
    assert found.missing == ("B/2.jpg",) and found.pairs == 3
