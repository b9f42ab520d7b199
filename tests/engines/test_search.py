"""Exact search against numpy in double precision, and index files that are not what they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.engines.search import SEARCHERS
from cosface_cli.engines.search.faiss_flat import FaissFlat, FlatSearcher
from cosface_cli.errors import CosfaceError


def units(count: int, size: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def built(path: Path, gallery: np.ndarray, block: int = 100) -> FlatSearcher:
    blocks = (gallery[at : at + block] for at in range(0, len(gallery), block))
    FaissFlat.build(gallery.shape[1], blocks, path)
    return FaissFlat.open(path, gallery.shape[1], len(gallery))


def brute(gallery: np.ndarray, probes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All cosines, sorted; equal ones by id."""
    cosines = np.clip(np.einsum("nd,gd->ng", probes.astype(np.float64), gallery.astype(np.float64)), -1, 1)
    ids = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, ids, 1), ids


@pytest.mark.parametrize("size", (2, 128, 512))
@pytest.mark.parametrize(("count", "k"), ((1, 1), (7, 3), (300, 1), (300, 10), (2500, 50), (300, 300)))
def test_as_brute_force(tmp_path: Path, size: int, count: int, k: int):
    gallery, probes = units(count, size), units(20, size, seed=1)
    cosines, ids = built(tmp_path / "i", gallery).search(probes, k)
    want_cosines, want_ids = brute(gallery, probes, k)
    np.testing.assert_array_equal(ids, want_ids)
    np.testing.assert_allclose(cosines, want_cosines, atol=1e-12)
    assert cosines.dtype == np.float64 and ids.dtype == np.int64


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 2**32))
def test_as_brute_force_with_many_equal_vectors(
    tmp_path_factory: pytest.TempPathFactory, count: int, k: int, seed: int
):
    """A gallery drawn from five vectors: whole rows of ties."""
    gallery = units(5, 8)[np.random.default_rng(seed).integers(0, 5, count)]
    cosines, ids = built(tmp_path_factory.mktemp("index") / "i", gallery).search(units(5, 8), k)
    want_cosines, want_ids = brute(gallery, units(5, 8), k)
    np.testing.assert_array_equal(ids, want_ids)
    np.testing.assert_allclose(cosines, want_cosines, atol=1e-12)


@pytest.mark.parametrize(("copies", "k"), ((30, 1), (30, 25), (500, 5), (500, 100), (500, 499)))
def test_many_copies_come_in_the_order_of_their_ids(tmp_path: Path, copies: int, k: int):
    gallery = units(2000, 128)
    places = np.sort(np.random.default_rng(2).choice(2000, copies, replace=False))
    gallery[places] = gallery[places[0]]
    cosines, ids = built(tmp_path / "i", gallery).search(gallery[places[:3]], k)
    for row in ids:
        np.testing.assert_array_equal(row, places[:k])
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


def test_k_beyond_the_gallery(tmp_path: Path):
    gallery = units(3, 16)
    searcher = built(tmp_path / "i", gallery)
    cosines, ids = searcher.search(gallery, 10)
    assert len(searcher) == 3 and cosines.shape == ids.shape == (3, 3)
    assert sorted(ids[0]) == [0, 1, 2] and (ids[:, 0] == [0, 1, 2]).all() and (ids >= 0).all()


def test_an_empty_gallery_and_no_probes(tmp_path: Path):
    empty = built(tmp_path / "e", np.zeros((0, 16), np.float32))
    cosines, ids = empty.search(units(4, 16), 5)
    assert len(empty) == 0 and cosines.shape == ids.shape == (4, 0)
    some = built(tmp_path / "s", units(9, 16))
    cosines, ids = some.search(np.zeros((0, 16), np.float32), 5)
    assert cosines.shape == ids.shape == (0, 5)


def test_the_batch_changes_no_bit(tmp_path: Path):
    gallery = units(1500, 128)
    gallery[1000:1040] = gallery[7]
    probes = np.concatenate([gallery[:20], units(50, 128, seed=3)])
    searcher = built(tmp_path / "i", gallery)
    cosines, ids = searcher.search(probes, 12)
    for size in (1, 19, 20, 64):
        parts = [searcher.search(probes[at : at + size], 12) for at in range(0, len(probes), size)]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), cosines)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), ids)


def test_the_blocks_change_no_byte(tmp_path: Path):
    gallery = units(250, 32)
    for block in (1, 99, 250):
        built(tmp_path / str(block), gallery, block)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "99").read_bytes() == (tmp_path / "250").read_bytes()


def test_cosines_never_leave_their_range(tmp_path: Path):
    gallery = units(500, 3)
    cosines, ids = built(tmp_path / "i", np.concatenate([gallery, -gallery])).search(gallery, 1000)
    assert cosines.max() <= 1 and cosines.min() >= -1
    np.testing.assert_array_equal(ids[:, 0], np.arange(500))


@pytest.mark.parametrize("change", ("gone", "folder", "empty", "text", "halved", "last byte", "header"))
def test_a_damaged_file_is_one_line(tmp_path: Path, change: str):
    path = tmp_path / "i"
    built(path, units(50, 16))
    content = path.read_bytes()
    match change:
        case "gone":
            path.unlink()
        case "folder":
            path.unlink()
            path.mkdir()
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_bytes(b"no index, but long enough to be one. " * 200)
        case "halved":
            path.write_bytes(content[: len(content) // 2])
        case "last byte":
            path.write_bytes(content[:-1])
        case "header":
            path.write_bytes(b"IwFl" + content[4:])
    with pytest.raises(CosfaceError, match="build it again"):
        FaissFlat.open(path, 16, 50)


def test_cut_anywhere_near_its_end(tmp_path: Path):
    """Where a length in the file says more than there is, a memory map would be read beyond its end."""
    path = tmp_path / "i"
    built(path, units(50, 16))
    content = path.read_bytes()
    for cut in range(1, len(content) - 50 * 16 * 4 + 4):
        path.write_bytes(content[:-cut])
        with pytest.raises(CosfaceError):
            FaissFlat.open(path, 16, 50)


@pytest.mark.parametrize(("size", "count"), ((16, 51), (16, 49), (8, 100), (32, 25), (15, 50)))
def test_a_file_that_holds_other_than_was_said(tmp_path: Path, size: int, count: int):
    built(tmp_path / "i", units(50, 16))
    with pytest.raises(CosfaceError):
        FaissFlat.open(tmp_path / "i", size, count)


def test_an_index_of_distances_is_refused(tmp_path: Path):
    import faiss

    index = faiss.IndexFlatL2(16)
    index.add(units(50, 16))
    faiss.write_index(index, str(tmp_path / "i"))
    with pytest.raises(CosfaceError, match="do not fit"):
        FaissFlat.open(tmp_path / "i", 16, 50)


def test_mutated_headers_neither_crash_nor_answer_nonsense(tmp_path: Path):
    path = tmp_path / "i"
    gallery = units(50, 16)
    built(path, gallery)
    content = path.read_bytes()
    header = len(content) - 50 * 16 * 4
    random = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(content)
        for at in random.integers(0, header, 2):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        try:
            searcher = FaissFlat.open(path, 16, 50)
        except CosfaceError:
            continue
        assert (searcher.search(gallery, 1)[1][:, 0] == np.arange(50)).all()


@pytest.mark.parametrize("count", (0, 50, 100_000))
def test_a_full_disk_is_told(count: int):
    with pytest.raises(OSError, match="No space left on device"):
        FaissFlat.build(16, [units(count, 16)], Path("/dev/full"))


def test_the_table_leads_here():
    assert SEARCHERS.load("flat") is FaissFlat
