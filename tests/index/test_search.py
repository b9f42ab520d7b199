"""Searching an index: the same as brute force over all rows, whatever the segments, the batch and the filter."""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.engines.sources.paths import stream_paths
from cosface_cli.errors import CosfaceError
from cosface_cli.index import AddConfig, BuildConfig, SearchConfig, SearchReport
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.search.row_filters import filtered_rows
from cosface_cli.index.stage import add, build, search
from cosface_cli.outcomes import Done, Outcome
from tests.index.stores import row, store, vectors


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of 1,000 rows in three segments, the largest with lists; rows 900 to 919 are copies of row 5."""
    base = tmp_path_factory.mktemp("search")
    rows = [row(n) for n in range(1300)]
    numbers = [5 if 900 <= n < 920 else n for n in range(1300)]
    for low, high in ((0, 1000), (1000, 1250), (1250, 1300)):
        part = store(base / "s.h5", numbers[low:high], rows=rows[low:high])
        if low:
            add(AddConfig(stores=(part,), index=base / "i"))
        else:
            build(BuildConfig(stores=(part,), index=base / "i", search="sq8"))
    gallery = Gallery(base / "i")
    assert [part.segment.search for part in gallery.parts] == ["sq8", "flat", "flat"]
    return base / "i"


def everything() -> np.ndarray:
    return vectors(4000)[[5 if 900 <= n < 920 else n for n in range(1300)]]


def brute(probes: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    among = np.arange(1300) if among is None else among
    cosines = np.clip(np.einsum("nd,gd->ng", probes.astype(np.float64), everything()[among].astype(np.float64)), -1, 1)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, order, 1), among[order]


def run(root: Path, *probes: Path, **options) -> tuple[SearchReport, list[Done]]:
    told: list[Outcome] = []
    report = search(SearchConfig(index=root, probes=tuple(map(str, probes)), **options), told.append)
    return report, [outcome for outcome in told if isinstance(outcome, Done)]


@pytest.mark.parametrize("k", (1, 7, 40, 1300, 5000))
def test_exact_is_brute_force_over_all_segments(root: Path, k: int) -> None:
    probes = vectors(300, seed=8)[:40]
    cosines, numbers = Gallery(root, exact=True).search(probes, k)
    want, at = brute(probes, k)
    np.testing.assert_array_equal(numbers, at)
    np.testing.assert_allclose(cosines, want, atol=1e-12)


def test_lists_find_as_often_as_was_said(root: Path) -> None:
    gallery = Gallery(root)
    probes = everything()[:900:3]
    _, numbers = gallery.search(probes, 2)
    assert (numbers[:, 0] == brute(probes, 1)[1][:, 0]).all()
    assert (numbers[:, 1] == brute(probes, 2)[1][:, 1]).mean() > gallery.parts[0].segment.settings["recall"] - 0.05


def test_more_than_the_lists_hold_is_filled_exactly(root: Path) -> None:
    probes = vectors(300, seed=8)[:10]
    _, numbers = Gallery(root).search(probes, 1300)
    np.testing.assert_array_equal(numbers, brute(probes, 1300)[1])


def test_the_batch_changes_no_bit(root: Path) -> None:
    gallery, probes = Gallery(root), np.concatenate([everything()[895:925], vectors(300, seed=9)[:40]])
    cosines, numbers = gallery.search(probes, 25)
    for size in (1, 7, 64):
        parts = [gallery.search(probes[low : low + size], 25) for low in range(0, len(probes), size)]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), cosines)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), numbers)


def test_copies_come_in_the_order_of_their_rows(root: Path) -> None:
    _, numbers = Gallery(root).search(everything()[5:6], 21)
    assert numbers[0].tolist() == [5, *range(900, 920)]


def test_a_store_of_probes(root: Path, tmp_path: Path) -> None:
    report, done = run(root, store(tmp_path / "p.h5", range(600)), k=3)
    assert (report.probes, report.hits, report.rejected, report.rows) == (600, 1800, 0, 1300)
    for number, outcome in enumerate(done):
        first = outcome.rows[0]
        assert first["source"] == first["probe"] == row(number).source and first["cos"] == 1.0
        assert [hit["rank"] for hit in outcome.rows] == [1, 2, 3] and first["box"] == [1.0, 2.0, 3.0, 4.0]


def test_the_best_face_of_each_person(root: Path, tmp_path: Path) -> None:
    _, done = run(root, store(tmp_path / "p.h5", [5, 40]), k=4, by="identity", exact=True)
    cosines, numbers = brute(vectors(4000)[[5, 40]], 1300)
    for outcome, own, scores in zip(done, numbers, cosines, strict=True):
        people = [row(n).identity for n in own]
        want = [people.index(name) for name in list(dict.fromkeys(people))[:4]]
        assert [hit["source"] for hit in outcome.rows] == [row(own[at]).source for at in want]
        np.testing.assert_allclose([hit["cos"] for hit in outcome.rows], scores[want], atol=1e-6)
    _, everybody = run(root, store(tmp_path / "q.h5", [5]), k=5000, by="identity", exact=True)
    assert len(everybody[0].rows) == 325, "each of 325 people once"
    assert everybody[0].rows[0]["identity"] == "person0001" and everybody[0].rows[1]["cos"] == 1.0


def test_faces_without_identity_stand_for_themselves(tmp_path: Path) -> None:
    rows = [replace(row(n), identity=None) for n in range(30)]
    build(BuildConfig(stores=(store(tmp_path / "s.h5", range(30), rows=rows),), index=tmp_path / "i"))
    _, done = run(tmp_path / "i", tmp_path / "s.h5", k=9, by="identity")
    assert all(len({hit["source"] for hit in outcome.rows}) == 9 for outcome in done)


def test_hits_below_a_cosine_are_left_out(root: Path, tmp_path: Path) -> None:
    probes = store(tmp_path / "p.h5", range(200))
    _, all_hits = run(root, probes, k=6)
    report, done = run(root, probes, k=6, min_cos=0.6)
    want = [[hit for hit in outcome.rows if hit["cos"] >= 0.6] for outcome in all_hits]
    assert [list(outcome.rows) for outcome in done] == want and 200 <= report.hits < 1200
    nothing, _ = run(root, store(tmp_path / "q.h5", range(3999, 3995, -1), seed=12), k=3, min_cos=0.999)
    assert (nothing.probes, nothing.hits) == (4, 0)


@pytest.mark.parametrize(
    ("filters", "since", "passes"),
    (
        (["identity=person0003"], None, lambda r: r.identity == "person0003"),
        (["identity=person0003", "identity=person0300"], None, lambda r: r.identity in ("person0003", "person0300")),
        (["identity=person00*"], None, lambda r: r.identity.startswith("person00")),
        (
            ["identity=person000?", "source=*名*3.jpg"],
            None,
            lambda r: r.identity < "person0010" and "3.jpg" in r.source,
        ),
        (["identity=nobody"], None, lambda r: False),
        ([], "1970-01-01T00:20:00+00:00", lambda r: r.mtime_ns >= 1200 * 10**9),
        (
            ["identity=person02*"],
            "1970-01-01T00:16:39Z",
            lambda r: "person02" in r.source and r.mtime_ns >= 999 * 10**9,
        ),
    ),
)
def test_filters_search_only_what_passes(root: Path, filters: list[str], since: str | None, passes) -> None:
    gallery = Gallery(root)
    among = filtered_rows(gallery, filters, since)
    want = np.array([n for n in range(1300) if passes(row(n))], np.int64)
    np.testing.assert_array_equal(among, want)
    probes = vectors(300, seed=8)[:20]
    cosines, numbers = gallery.search(probes, 5, among)
    best, at = brute(probes, 5, want)
    np.testing.assert_array_equal(numbers, at)
    np.testing.assert_allclose(cosines, best, atol=1e-12)


def test_names_with_wildcards_are_found_as_they_are(tmp_path: Path) -> None:
    names = ["a[1]", "a1", "what?", "star*", "byte\udcff", "=", ""]
    rows = [replace(row(n), identity=name) for n, name in enumerate(names)]
    build(BuildConfig(stores=(store(tmp_path / "s.h5", range(len(rows)), rows=rows),), index=tmp_path / "i"))
    gallery = Gallery(tmp_path / "i")
    for number, name in enumerate(names):
        assert number in filtered_rows(gallery, [f"identity={name}"], None).tolist(), name


@pytest.mark.parametrize(
    ("options", "words"),
    (
        ({"filters": ("identity",)}, "must be FIELD=PATTERN, got 'identity'"),
        ({"filters": ("identy=x",)}, "did you mean 'identity'"),
        ({"since": "yesterday"}, "must be a date or time"),
        ({"by": "person"}, "--by 'person'"),
        ({"k": 0}, "-k must be at least 1, got 0"),
        ({"faces": "some"}, "--faces"),
    ),
)
def test_wrong_options_are_one_line(root: Path, tmp_path: Path, options: dict, words: str) -> None:
    with pytest.raises(CosfaceError, match=words):
        run(root, store(tmp_path / "p.h5", [1]), **options)


def test_an_index_that_is_replaced_while_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cosface_cli.index.search import gallery as module

    build(BuildConfig(stores=(store(tmp_path / "s.h5", range(50)),), index=tmp_path / "i"))
    before = module.read_header(tmp_path / "i")
    build(BuildConfig(stores=(store(tmp_path / "s.h5", range(100, 180)),), index=tmp_path / "i"))
    answers = iter([before])
    real = module.read_header
    monkeypatch.setattr(module, "read_header", lambda root: next(answers, None) or real(root))
    assert len(Gallery(tmp_path / "i")) == 80


@pytest.mark.parametrize("separator", (b"\n", b"\0"))
def test_paths_are_given_as_they_come(separator: bytes) -> None:
    read, write = os.pipe()
    with io.FileIO(read) as stream:
        paths = stream_paths(stream)
        os.write(write, b"a.jpg" + separator + "名.jpg".encode() + separator)
        assert next(paths) == "a.jpg" and next(paths) == "名.jpg"
        os.write(write, b"b")
        os.write(write, b"c" + separator + separator + b"last\xff")
        assert next(paths) == "bc"
        os.close(write)
        assert list(paths) == ["last\udcff"]
