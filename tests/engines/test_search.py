"""Search against numpy in double precision, and index files that are not what they say."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.artifacts.index.vector_file import VectorFile, VectorWriter, npy_header
from cosface_cli.engines.search import SEARCHERS, Search, engine_for, near, products, rows_of, search_row
from cosface_cli.engines.search.ivf import list_count, parts
from cosface_cli.engines.search.lists_file import require_lists
from cosface_cli.engines.search.near import nearest
from cosface_cli.engines.search.recall import Sample
from cosface_cli.errors import CosfaceError, DamagedError


def units(count: int, size: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, size))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def people(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Vectors with structure, as faces have it: four photos of each person, cosine near .67."""
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.normal(size=(-(-count // 4), size)), 4, 0)[:count]
    vectors = vectors + 0.7 * rng.normal(size=vectors.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def written(path: Path, gallery: np.ndarray, block: int = 100) -> VectorFile:
    with VectorWriter(path, gallery.shape[1]) as writer:
        for at in range(0, len(gallery), block):
            writer.add(gallery[at : at + block])
    return VectorFile(path, gallery.shape[1], len(gallery))


class Opened:
    """An engine over a gallery, asked for the k nearest."""

    def __init__(self, path: Path, gallery: np.ndarray, name: str = "flat", recall: float = 0.95) -> None:
        self.vectors = written(path, gallery)
        engine: Search = SEARCHERS.load(name)
        self.lists = path.with_suffix(".lists")
        self.built = engine.build(self.vectors, self.lists, None, recall)
        self.searcher = engine.open(self.vectors, str(self.built.file), None, self.built.settings)

    def search(self, probes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        return nearest(self.vectors, probes, self.searcher.propose(probes, k), k)


def brute(gallery: np.ndarray, probes: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All cosines, sorted; equal ones by id."""
    cosines = np.clip(np.einsum("nd,gd->ng", probes.astype(np.float64), gallery.astype(np.float64)), -1, 1)
    ids = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(cosines, ids, 1), ids


@pytest.mark.parametrize("size", (2, 128, 512))
@pytest.mark.parametrize(("count", "k"), ((1, 1), (7, 3), (300, 1), (300, 10), (2500, 50), (300, 300)))
def test_as_brute_force(tmp_path: Path, size: int, count: int, k: int):
    gallery, probes = units(count, size), units(20, size, seed=1)
    cosines, ids = Opened(tmp_path / "i", gallery).search(probes, k)
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
    cosines, ids = Opened(tmp_path_factory.mktemp("index") / "i", gallery).search(units(5, 8), k)
    want_cosines, want_ids = brute(gallery, units(5, 8), k)
    np.testing.assert_array_equal(ids, want_ids)
    np.testing.assert_allclose(cosines, want_cosines, atol=1e-12)


@pytest.mark.parametrize(("copies", "k"), ((30, 1), (30, 25), (500, 5), (500, 100), (500, 499)))
def test_many_copies_come_in_the_order_of_their_ids(tmp_path: Path, copies: int, k: int):
    gallery = units(2000, 128)
    places = np.sort(np.random.default_rng(2).choice(2000, copies, replace=False))
    gallery[places] = gallery[places[0]]
    cosines, ids = Opened(tmp_path / "i", gallery).search(gallery[places[:3]], k)
    for row in ids:
        np.testing.assert_array_equal(row, places[:k])
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


@pytest.mark.parametrize("alone", (True, False))
def test_equals_that_rounding_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool):
    """Some processors' products of equal vectors differ in the last bits, by where they lie: FAISS is made to find the
    last of 40 copies the nearest."""
    from cosface_cli.engines.search import flat

    gallery, far = units(300, 64), units(300, 64, seed=5)
    copies = np.arange(200, 240)  # in the second thread's half
    gallery[copies] = gallery[7]

    def rounded(probes, array, size, count, rows, wide, scores, found, chosen):
        own, other = (
            faiss.rev_swig_ptr(pointer, length) for pointer, length in ((probes, count * size), (array, rows * size))
        )
        cosines = own.reshape(count, size) @ other.reshape(rows, size).T
        cosines = np.where(cosines > 0.999, 1 - np.arange(rows)[::-1] * np.float32(1e-9), cosines)
        if chosen is not None:
            cosines[:, [row for row in range(rows) if not chosen.is_member(row)]] = -np.inf
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :wide]
        faiss.rev_swig_ptr(found, count * wide)[:] = order.ravel()
        faiss.rev_swig_ptr(scores, count * wide)[:] = np.take_along_axis(cosines, order, 1).ravel()

    monkeypatch.setattr(flat, "_KNN", rounded)
    monkeypatch.setattr(flat, "_MANY", 1 if alone else 1 << 60)
    opened = Opened(tmp_path / "i", gallery)
    probes = gallery[7:8] if alone else np.concatenate([far[:3], gallery[7:8], far[3:4]])
    at = 0 if alone else 3  # the vector with copies
    cosines, ids = opened.search(probes, 12)
    want_cosines, want_ids = brute(gallery, probes, 12)
    np.testing.assert_array_equal(ids, want_ids)
    assert want_ids[at].tolist() == [7, *copies[:11]]
    np.testing.assert_allclose(cosines, want_cosines, atol=1e-12)
    some = np.sort(np.r_[copies[5:], 240:300])
    proposed = opened.searcher.propose(probes, 3, some)
    assert nearest(opened.vectors, probes, proposed, 3)[1][at].tolist() == copies[5:8].tolist()


def test_rows_that_have_copies_only_are_no_measure_of_recall(tmp_path: Path):
    gallery = units(360, 16)
    gallery[300:] = gallery[299]
    assert len(Sample(written(tmp_path / "v", gallery))) == 299


def test_k_beyond_the_gallery(tmp_path: Path):
    gallery = units(3, 16)
    cosines, ids = Opened(tmp_path / "i", gallery).search(gallery, 10)
    assert cosines.shape == ids.shape == (3, 3)
    assert sorted(ids[0]) == [0, 1, 2] and (ids[:, 0] == [0, 1, 2]).all() and (ids >= 0).all()


def test_an_empty_gallery_and_no_probes(tmp_path: Path):
    cosines, ids = Opened(tmp_path / "e", np.zeros((0, 16), np.float32)).search(units(4, 16), 5)
    assert cosines.shape == ids.shape == (4, 0)
    cosines, ids = Opened(tmp_path / "s", units(9, 16)).search(np.zeros((0, 16), np.float32), 5)
    assert len(cosines) == len(ids) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ("flat", "sq8", "pq"))
def test_the_batch_changes_no_bit(tmp_path: Path, name: str):
    gallery = people(1500, 32)
    gallery[1000:1040] = gallery[7]
    probes = np.concatenate([gallery[:20], people(50, 32, seed=3)])
    opened = Opened(tmp_path / "i", gallery, name)
    cosines, ids = opened.search(probes, 12)
    for size in (1, 19, 20, 64):
        parts = [opened.search(probes[at : at + size], 12) for at in range(0, len(probes), size)]
        np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), cosines)
        np.testing.assert_array_equal(np.concatenate([part[1] for part in parts]), ids)


@pytest.mark.slow
@pytest.mark.parametrize("name", ("sq8", "pq"))
def test_probes_between_two_lists_are_searched_in_the_same_one(tmp_path: Path, name: str):
    """As near to one list's centre as to the other's: the last bits, which the batch decides, choose none of them."""
    opened = Opened(tmp_path / "i", people(3000, 64), name)
    opened.searcher.nprobe = 1
    index = faiss.read_index(str(opened.lists))
    coarse = faiss.downcast_index(index.quantizer)
    centres = coarse.reconstruct_n(0, coarse.ntotal)
    order = np.argsort(-(centres @ centres.T), axis=1)
    between = centres + centres[order[:, 1]]
    between /= np.linalg.norm(between, axis=1, keepdims=True)
    together = opened.searcher.propose(between, 3)
    alone = np.concatenate([opened.searcher.propose(between[n : n + 1], 3) for n in range(len(between))])
    np.testing.assert_array_equal(np.sort(alone, 1), np.sort(together, 1))


@pytest.mark.parametrize("nprobe", (1, 2, 5))
@pytest.mark.parametrize("name", ("sq8", "pq"))
def test_nprobe_is_faiss_s(tmp_path: Path, name: str, nprobe: int):
    """As many rows are asked for as there are: all rows of the lists searched are proposed, by FAISS as by us."""
    gallery, probes = people(2000, 32), units(50, 32, seed=4)
    opened = Opened(tmp_path / "i", gallery, name)
    opened.searcher.nprobe = nprobe
    index = faiss.read_index(str(opened.lists))
    index.nprobe = nprobe
    want = index.search(probes, len(gallery))[1]
    proposed = opened.searcher.propose(probes, len(gallery))
    for ids, faiss_ids in zip(proposed, want, strict=True):
        assert set(ids[ids >= 0].tolist()) == set(faiss_ids[faiss_ids >= 0].tolist())


def test_blas_is_taken_for_batches_and_not_for_one_or_two_probes(tmp_path: Path):
    """FAISS's own switch lies at 20 probes and more, where BLAS is quicker from 3 on."""
    searcher = Opened(tmp_path / "i", units(100, 16)).searcher
    for probes, blas in ((1, False), (2, False), (3, True), (19, True), (64, True)):
        searcher.propose(units(probes, 16, seed=1), 3)
        assert (probes >= faiss.cvar.distance_compute_blas_threshold) == blas


def test_pages_that_were_let_go_are_read_again(tmp_path: Path):
    def mapped() -> int:
        status = Path("/proc/self/status").read_text()
        return int(status.split("RssFile:")[1].split()[0])

    if not Path("/proc/self/status").is_file():
        pytest.skip("needs Linux's account of memory")
    gallery = units(1000, 8192)  # 32 MB
    vectors = written(tmp_path / "i", gallery)
    before = mapped()
    assert (vectors.array == gallery).all() and mapped() - before > 25_000
    vectors.release_pages()
    assert mapped() - before < 5_000
    assert (vectors.block(0, 1000) == gallery).all()


def test_the_blocks_change_no_byte(tmp_path: Path):
    gallery = units(250, 32)
    for block in (1, 99, 250):
        written(tmp_path / str(block), gallery, block)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "99").read_bytes() == (tmp_path / "250").read_bytes()


def test_the_file_of_vectors_is_numpys_own(tmp_path: Path):
    for count in (0, 1, 50):
        gallery = units(50, 24)[:count]
        np.save(tmp_path / "theirs.npy", gallery)
        written(tmp_path / "ours.npy", gallery)
        assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()
        loaded = np.load(tmp_path / "ours.npy", mmap_mode="r", allow_pickle=False)
        assert (loaded == gallery).all() and loaded.shape == (count, 24)


def test_one_probe_is_searched_by_all_threads(tmp_path: Path):
    """From some size on; the same answer as in a batch, also about copies that lie in the parts of several threads."""
    gallery = units(9000, 512)
    gallery[[10, 4400, 4600, 8999]] = gallery[10]
    opened = Opened(tmp_path / "i", gallery)
    cosines, ids = opened.search(gallery[[10, 77]], 6)
    alone = [opened.search(gallery[[n]], 6) for n in (10, 77)]
    np.testing.assert_array_equal(np.concatenate([one[1] for one in alone]), ids)
    np.testing.assert_array_equal(np.concatenate([one[0] for one in alone]), cosines)
    assert ids[0, :4].tolist() == [10, 4400, 4600, 8999]


@pytest.mark.parametrize("at_once", (1, 3 * 32, 40 * 32))
def test_what_is_gathered_at_a_time_changes_no_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int):
    """However many are proposed, memory holds no more of their vectors than that."""
    opened = Opened(tmp_path / "i", units(200, 32))
    probes, proposed = units(7, 32, seed=1), np.tile(np.arange(-1, 199), (7, 1))
    want = nearest(opened.vectors, probes, proposed, 150)
    monkeypatch.setattr(near, "_AT_ONCE", at_once)
    taken: list[int] = []
    take = VectorFile.take
    monkeypatch.setattr(VectorFile, "take", lambda self, ids: taken.append(ids.size) or take(self, ids))
    for one, other in zip(nearest(opened.vectors, probes, proposed, 150), want, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sum(taken) == proposed.size and max(taken) <= max(1, at_once // 32)


def test_cosines_never_leave_their_range(tmp_path: Path):
    gallery = units(500, 3)
    cosines, ids = Opened(tmp_path / "i", np.concatenate([gallery, -gallery])).search(gallery, 1000)
    assert cosines.max() <= 1 and cosines.min() >= -1
    np.testing.assert_array_equal(ids[:, 0], np.arange(500))


def test_search_among_chosen_rows_only(tmp_path: Path):
    gallery, probes = units(900, 32), units(30, 32, seed=5)
    opened = Opened(tmp_path / "i", gallery)
    for among in (np.arange(0, 900, 7), np.array([3, 5]), np.zeros(0, np.int64)):
        cosines, ids = nearest(opened.vectors, probes, opened.searcher.propose(probes, 5, among), 5)
        want, at = brute(gallery[among], probes, 5)
        np.testing.assert_array_equal(ids, among[at])
        np.testing.assert_allclose(cosines, want, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", ("sq8", "pq"))
def test_the_recall_is_what_it_says(tmp_path: Path, name: str):
    """Counted again by brute force, over the rows themselves and over other photos of the same people."""
    everybody = people(3000, 32)
    gallery, others = everybody[np.arange(3000) % 4 < 3], everybody[3::4]
    opened = Opened(tmp_path / "i", gallery, name)
    settings = opened.built.settings
    assert settings["recall"] >= 0.95 and 1 <= settings["nprobe"] < settings["lists"] == list_count(2250) == 256
    cosines, ids = opened.search(gallery[::9], 2)
    want_cosines, want = brute(gallery, gallery[::9], 2)
    assert (ids[:, 0] == np.arange(0, 2250, 9)).all(), "each finds itself"
    assert abs(float((ids[:, 1] == want[:, 1]).mean()) - settings["recall"]) < 0.04
    assert (opened.search(others, 1)[1] == brute(gallery, others, 1)[1]).mean() > 0.9
    np.testing.assert_allclose(cosines[:, 0], want_cosines[:, 0], atol=1e-12)


def test_without_structure_more_lists_are_looked_through(tmp_path: Path, name: str = "sq8"):
    """A fixed number of lists finds nothing there; the recall wanted is reached, or is told as not reached."""
    few = Opened(tmp_path / "a", people(1500, 32), name).built.settings
    many = Opened(tmp_path / "b", units(1500, 32), name).built.settings
    assert many["nprobe"] > 2 * few["nprobe"]
    assert many["recall"] >= 0.95 or many["nprobe"] == many["lists"]


def test_copies_do_not_count_as_found(tmp_path: Path):
    """Rows that stand twice would make any search look perfect."""
    once = units(1500, 64)
    settings = Opened(tmp_path / "i", np.concatenate([once, once]), "sq8").built.settings
    assert settings["nprobe"] > 16


def test_the_threads_change_no_byte(tmp_path: Path):
    vectors = written(tmp_path / "i", people(1000, 16))
    for name in ("sq8", "pq"):
        contents = []
        for number in (1, 2):
            before = faiss.omp_get_max_threads()
            faiss.omp_set_num_threads(number)
            index = SEARCHERS.load(name)._trained(vectors)
            index.add(vectors.block(0, 1000))
            contents.append(faiss.serialize_index(index).tobytes())
            faiss.omp_set_num_threads(before)
        assert contents[0] == contents[1]


def test_chosen_by_the_number_of_rows():
    names = [engine_for(rows, "faiss") for rows in (0, 199_999, 200_000, 4_999_999, 5_000_000, 10**12)]
    assert names == ["flat", "flat", "sq8", "sq8", "pq", "pq"]
    assert [engine_for(rows, "milvus") for rows in (0, 10**12)] == ["milvus"] * 2
    assert [engine_for(rows, "faiss", "pq") for rows in (0, 999, 1000, 10**7)] == ["flat", "flat", "pq", "pq"]
    assert [list_count(n) for n in (0, 1, 10_000, 200_000, 1_000_000, 10**12)] == [4, 4, 512, 2048, 4096, 65536]
    assert [parts(size) for size in (1, 16, 128, 512, 100)] == [1, 2, 16, 64, 10]


def test_what_is_known_of_an_engine_before_it_is_loaded():
    assert products() == ("faiss", "milvus")
    assert [row.name for row in rows_of("faiss")] == ["flat", "sq8", "pq"]
    assert [row.name for row in map(search_row, SEARCHERS.names) if row.approximate] == ["sq8", "pq", "milvus"]
    assert [row.name for row in map(search_row, SEARCHERS.names) if row.needs_uri] == ["milvus"]


@pytest.mark.slow
@pytest.mark.parametrize("change", ("gone", "folder", "empty", "text", "halved", "last byte", "head", "longer"))
@pytest.mark.parametrize("name", ("flat", "sq8", "pq"))
def test_a_damaged_file_is_one_line(tmp_path: Path, name: str, change: str):
    opened = Opened(tmp_path / "i", people(1000, 8), name)
    path = opened.vectors.path if name == "flat" else opened.lists
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
            path.write_bytes(b"no index, but long enough to be one. " * 5000)
        case "halved":
            path.write_bytes(content[: len(content) // 2])
        case "last byte":
            path.write_bytes(content[:-1])
        case "head":
            path.write_bytes(b"IxF2" + content[4:])
        case "longer":
            path.write_bytes(content + b"x")
    with pytest.raises(DamagedError) as caught:
        vectors = VectorFile(tmp_path / "i", 8, 1000)
        SEARCHERS.load(name).open(vectors, str(opened.lists), None, opened.built.settings)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(("size", "count"), ((16, 51), (16, 49), (17, 50), (15, 50), (32, 25)))
def test_a_file_that_holds_other_than_was_said(tmp_path: Path, size: int, count: int):
    written(tmp_path / "i", units(50, 16))
    with pytest.raises(DamagedError):
        VectorFile(tmp_path / "i", size, count)


def test_another_numpy_file_is_refused(tmp_path: Path):
    np.save(tmp_path / "d.npy", units(50, 16).astype(np.float64))
    (tmp_path / "d.npy").rename(tmp_path / "i")
    with pytest.raises(DamagedError, match="not 50 vectors"):
        VectorFile(tmp_path / "i", 16, 50)


@pytest.mark.slow
@pytest.mark.parametrize("name", ("flat", "sq8", "pq"))
def test_mutated_heads_neither_crash_nor_take_memory(tmp_path: Path, name: str):
    """Whatever stands in the lengths that a file declares: it is refused, or it is searched as before."""
    import resource

    opened = Opened(tmp_path / "i", people(1000, 8), name)
    path = opened.vectors.path if name == "flat" else opened.lists
    content = path.read_bytes()
    lists = opened.built.settings.get("lists", 0)
    ends = [128] if name == "flat" else [110, content.index(b"ilar") + 40 + 8 * lists]
    random = np.random.default_rng(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        end = int(random.choice(ends))
        for at in random.integers(max(0, end - 400), end, 2):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        try:
            vectors = VectorFile(tmp_path / "i", 8, 1000)
            engine = SEARCHERS.load(name)
            searcher = engine.open(vectors, str(opened.lists), None, opened.built.settings)
            nearest(vectors, vectors.block(0, 50), searcher.propose(vectors.block(0, 50), 3), 3)
        except CosfaceError:
            refused += 1
    assert refused > 100
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", ({}, {"lists": 8}, {"lists": "8", "nprobe": None}, {"lists": 1 << 40, "nprobe": 1})
)
def test_settings_that_do_not_fit_the_lists(tmp_path: Path, settings: dict):
    opened = Opened(tmp_path / "i", people(1000, 8), "sq8")
    with pytest.raises(DamagedError):
        SEARCHERS.load("sq8").open(opened.vectors, str(opened.lists), None, settings)


@pytest.mark.parametrize("few", (False, True))
def test_lists_that_do_not_hold_the_rows(tmp_path: Path, few: bool):
    """Every length in the table of the lists, whole or of those that are not empty, is looked at before FAISS is."""
    vectors = units(3, 8)[np.arange(1000) % 3] if few else people(1000, 8)
    opened = Opened(tmp_path / "i", vectors, "sq8")
    content = opened.lists.read_bytes()
    table = content.index(b"sprs" if few else b"full") + 12
    lists = opened.built.settings["lists"]

    def refused(at: int, value: int) -> bool:
        opened.lists.write_bytes(content[:at] + value.to_bytes(8, "little") + content[at + 8 :])
        try:
            require_lists(opened.lists, "sq8", 8, 1000, lists, 1)
        except DamagedError:
            return True
        return False

    own = [int.from_bytes(content[at : at + 8], "little") for at in (table, table + 8)]
    assert not refused(table, own[0])
    assert refused(table + 8, own[1] + 1), "more rows than there are"
    assert refused(table, lists if few else own[0] + 1), "a list that is not there, or another number of rows"


def test_rows_that_the_lists_invent_are_refused(tmp_path: Path):
    opened = Opened(tmp_path / "i", people(1000, 8), "sq8", recall=1.0)
    content = bytearray(opened.lists.read_bytes())
    content[-8:] = (10**9).to_bytes(8, "little")
    opened.lists.write_bytes(content)
    settings = {**opened.built.settings, "nprobe": opened.built.settings["lists"]}
    searcher = SEARCHERS.load("sq8").open(opened.vectors, str(opened.lists), None, settings)
    with pytest.raises(DamagedError, match="row numbers that are out of range"):
        searcher.propose(opened.vectors.block(0, 1000), 1000)


@pytest.mark.parametrize("count", (0, 50, 100_000))
def test_a_full_disk_is_reported(count: int):
    with pytest.raises(OSError, match="No space left on device"), VectorWriter(Path("/dev/full"), 16) as writer:
        writer.add(units(count, 16))


@pytest.mark.parametrize("name", ("sq8", "pq"))
def test_a_full_disk_is_reported_for_lists(tmp_path: Path, name: str):
    vectors = written(tmp_path / "i", people(1000, 8))
    with pytest.raises(OSError, match="No space left on device"):
        SEARCHERS.load(name).build(vectors, Path("/dev/full"), None, 0.95)


def test_a_head_has_one_length():
    assert {len(npy_header(512, count)) for count in (0, 1, 10**6, 10**12)} == {128}
