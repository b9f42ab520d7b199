"""The store: whole, the same bytes for the same rows, readable by plain h5py, and safe to open from anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.artifacts.store.face_rows import FaceRow
from cosface_cli.artifacts.store.store_file import Store, StoreHeader, write_store
from cosface_cli.errors import CosfaceError, DamagedError
from cosface_cli.outcomes import Rejected

HEADER = StoreHeader(model="dlib", model_id="dlib-0123", template="dlib", flip="none", size=8)
ODD = ("a b.jpg", "new\nline.jpg", "tab\t", "名前/顔.jpg", os.fsdecode(b"p\xff/\xfe.jpg"), "", "-x,'\".jpg", "😀/1.jpg")


def row(number: int, source: str | None = None) -> FaceRow:
    name = f"person {number % 7}/{number}.jpg" if source is None else source
    return FaceRow(
        source=name,
        identity=name.split("/")[0] if "/" in name else None,
        root="/photos" if number % 2 else os.fsdecode(b"/ph\xfftos"),
        settings=f"settings {number % 3}",
        face=1 + number % 4,
        box=(0.5 * number, -1.25, 2.0**20, 3.0),
        score=0.5,
        sharpness=12.5,
        hash=f"{number:064x}",
        size=(1 << 40) + number,
        mtime_ns=1_700_000_000_000_000_000 + number,
    )


def unit(number: int, size: int = 8) -> np.ndarray:
    vector = np.random.default_rng(number).normal(size=size)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def rows(count: int) -> Iterator[tuple[FaceRow, np.ndarray]]:
    return ((row(number), unit(number)) for number in range(count))


def a_store(path: Path, count: int = 5) -> Path:
    write_store(path, HEADER, rows(count), [{"root": "/r", "source": "x.jpg", "reason": "no_face"}])
    return path


@pytest.mark.parametrize("count", (0, 1, 7, 1023, 1024, 1025, 2500))
def test_what_is_written_is_read(tmp_path: Path, count: int):
    path = tmp_path / "s.h5"
    assert write_store(path, HEADER, rows(count), []) == count
    with Store(path) as store:
        assert len(store) == count and store.header == HEADER and store.rejects() == []
        assert list(store.rows()) == [row(number) for number in range(count)]
        want = np.stack([unit(n) for n in range(count)]) if count else np.zeros((0, 8), np.float32)
        np.testing.assert_array_equal(store.vectors(0, count), want)
        assert store.vectors(0, count).dtype == np.float32
        middle = (count // 3, count // 2)
        assert list(store.rows(*middle)) == [row(number) for number in range(*middle)]
        np.testing.assert_array_equal(store.vectors(*middle), want[slice(*middle)])


def test_odd_names(tmp_path: Path):
    path = tmp_path / "s.h5"
    odd = [row(number, name) for number, name in enumerate(ODD)]
    rejects = [{"root": "/", "source": name, "reason": "no_face"} for name in ODD]
    write_store(path, HEADER, ((item, unit(1)) for item in odd), rejects)
    with Store(path) as store:
        assert list(store.rows()) == odd and store.rejects() == rejects
        assert [item.identity for item in store.rows()][3:5] == ["名前", "p\udcff"]


@pytest.mark.slow
@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.binary().map(os.fsdecode), st.one_of(st.none(), st.text(max_size=3)))))
def test_any_names_at_all(tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str | None]]):
    path = tmp_path_factory.mktemp("store") / "s.h5"
    many = [replace(row(1), source=source, identity=identity) for source, identity in names]
    write_store(path, HEADER, ((item, unit(1)) for item in many), [])
    with Store(path) as store:
        assert list(store.rows()) == many


def test_the_same_rows_give_the_same_bytes(tmp_path: Path):
    one, two = a_store(tmp_path / "1.h5", 1500), a_store(tmp_path / "2.h5", 1500)
    assert one.read_bytes() == two.read_bytes()
    a_store(two, 3)  # over a longer one
    assert two.read_bytes() == a_store(tmp_path / "3.h5", 3).read_bytes()


def test_plain_h5py_reads_it(tmp_path: Path):
    with h5py.File(a_store(tmp_path / "s.h5", 9), "r") as store:
        embeddings = store["embeddings"][:]
        ends, blob = store["source/offsets"][:], store["source/bytes"][:].tobytes()
        sources = [blob[a:b].decode() for a, b in pairwise(ends)]
        ends, blob = store["identity/offsets"][:], store["identity/bytes"][:].tobytes()
        names = [blob[a:b].decode() for a, b in pairwise(ends)]
        identities = [names[code] for code in store["identity/codes"][:]]
        attributes = dict(store.attrs)
        rejects = [json.loads(text) for text in store["rejects"][:].tobytes().splitlines()]
    np.testing.assert_array_equal(embeddings, [unit(n) for n in range(9)])
    assert sources == [f"person {n % 7}/{n}.jpg" for n in range(9)]
    assert identities == [f"person {n % 7}" for n in range(9)]
    assert attributes["model_id"] == b"dlib-0123" and attributes["rows"] == 9 and attributes["normalized"]
    assert rejects == [{"root": "/r", "source": "x.jpg", "reason": "no_face"}]


def test_only_the_oldest_format_is_used(tmp_path: Path):
    """Version 0 of the superblock: what every HDF5 since 1998 reads."""
    assert a_store(tmp_path / "s.h5").read_bytes()[:9] == b"\x89HDF\r\n\x1a\n\0"


def test_an_error_while_writing_leaves_the_old_store(tmp_path: Path):
    path = a_store(tmp_path / "s.h5")
    before = path.read_bytes()

    def broken() -> Iterator[tuple[FaceRow, np.ndarray]]:
        yield from rows(1500)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(path, HEADER, broken(), [])
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["s.h5"]


@pytest.mark.parametrize("count", (1, 200, 3000))
def test_a_full_disk_is_one_line_and_no_crash(small_disk: Path, count: int):
    with pytest.raises(CosfaceError, match=r"s\.h5: the disk is full"):
        write_store(small_disk / "s.h5", HEADER, rows(count), [])
    assert list(small_disk.iterdir()) == []


# Hostile files: what a stranger could send. Each is a store with one thing changed.


def relinked(path: Path, name: str, link: Any) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = link


def external_link(path: Path) -> None:
    a_store(path.with_name("other.h5"))
    relinked(path, "embeddings", h5py.ExternalLink("other.h5", "/embeddings"))


def external_link_among_names(path: Path) -> None:
    a_store(path.with_name("other.h5"))
    relinked(path, "source/bytes", h5py.ExternalLink("other.h5", "/source/bytes"))


def soft_link(path: Path) -> None:
    relinked(path, "score", h5py.SoftLink("/sharpness"))


def dangling_link(path: Path) -> None:
    relinked(path, "score", h5py.SoftLink("/nowhere"))


def external_storage(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["embeddings"]
        file.create_dataset("embeddings", (5, 8), "<f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def virtual_dataset(path: Path) -> None:
    a_store(path.with_name("other.h5"))
    layout = h5py.VirtualLayout((5, 8), "<f4")
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "embeddings", shape=(5, 8))
    with h5py.File(path, "r+") as file:
        del file["embeddings"]
        file.create_virtual_dataset("embeddings", layout)


def object_type(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["source/bytes"]
        file.create_dataset("source/bytes", data=["one", "two"], dtype=h5py.string_dtype())


def huge(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["embeddings"]
        file.create_dataset("embeddings", (10**12, 8), "<f4", chunks=(1024, 8), fillvalue=0.5)
        file.attrs["rows"] = 10**12


def huge_everywhere(path: Path) -> None:
    huge(path)
    with h5py.File(path, "r+") as file:
        for name in ("face", "score", "sharpness", "size", "mtime_ns", "hash", "box"):
            file[name].resize(10**12, axis=0)
        for name in ("source/offsets", "identity/codes", "root/codes", "settings/codes"):
            file[name].resize(10**12 + name.endswith("offsets"), axis=0)


def huge_names(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["source/bytes"].resize(10**12, axis=0)
        file["source/offsets"][-1] = 10**12


def inflated(path: Path) -> None:
    """A gigabyte that compresses to little."""
    with h5py.File(path, "r+") as file:
        del file["embeddings"]
        file.create_dataset("embeddings", (1 << 28, 8), "<f4", chunks=(1 << 20, 8), compression="gzip")
        file.attrs["rows"] = 1 << 28


def rows_missing(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["rows"] = 6


def columns_differ(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["score"].resize(4, axis=0)


def another_number_type(path: Path) -> None:
    relinked(path, "embeddings", np.zeros((5, 8), np.int64))


def flat(path: Path) -> None:
    relinked(path, "embeddings", np.zeros(5, np.float32))


def a_number(path: Path) -> None:
    relinked(path, "score", np.float32(3))


def a_group_for_a_dataset(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["box"]
        file.create_group("box")


def a_named_type_for_a_dataset(path: Path) -> None:
    relinked(path, "box", np.dtype("<f4"))


def gone(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["identity"]


def no_rejects(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["rejects"]


def rejects_no_json(path: Path) -> None:
    relinked(path, "rejects", np.frombuffer(b"{nonsense\n", np.uint8))


def rejects_no_objects(path: Path) -> None:
    relinked(path, "rejects", np.frombuffer(b"[1, 2]\n17\n", np.uint8))


def codes_beyond(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["identity/codes"][3] = 1 << 30


def offsets_beyond(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["source/offsets"][5] = 1 << 40


def offsets_backwards(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["source/offsets"][2] = 0


def offsets_negative(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["identity/offsets"][0] = -5


def no_schema(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["schema"]


def list_for_kind(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["kind"] = np.arange(5)


def variable_length_text(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["model"] = "of variable length"


def holds_itself(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for number in range(40):
            file[f"again{number}"] = file["/"]


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def halved(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def only_the_signature(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:8])


HOSTILE: tuple[Callable[[Path], None], ...] = (
    external_link,
    external_link_among_names,
    soft_link,
    dangling_link,
    external_storage,
    virtual_dataset,
    object_type,
    huge,
    huge_everywhere,
    huge_names,
    inflated,
    rows_missing,
    columns_differ,
    another_number_type,
    flat,
    a_number,
    a_group_for_a_dataset,
    a_named_type_for_a_dataset,
    gone,
    no_rejects,
    rejects_no_json,
    rejects_no_objects,
    codes_beyond,
    offsets_beyond,
    offsets_backwards,
    offsets_negative,
    no_schema,
    list_for_kind,
    variable_length_text,
    holds_itself,
    truncated,
    halved,
    only_the_signature,
)


def read_all(path: Path) -> None:
    with Store(path) as store:
        for _ in store.rows():
            pass
        store.vectors(0, len(store))
        store.rejects()


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_hostile_files_are_one_line_of_error(tmp_path: Path, change: Callable[[Path], None]):
    path = a_store(tmp_path / "s.h5")
    change(path)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match=r"s\.h5: damaged \(.+\); embed again into a new store"):
            read_all(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_the_unchanged_file_is_none_of_these(tmp_path: Path):
    read_all(a_store(tmp_path / "s.h5"))


def test_files_that_are_no_stores(tmp_path: Path):
    text, plain, empty = tmp_path / "t.txt", tmp_path / "p.h5", tmp_path / "e.h5"
    text.write_text("shopping list\n")
    empty.touch()
    with h5py.File(plain, "w") as file:
        file["embeddings"] = np.zeros((3, 4), np.float32)
    for path, words in (
        (text, "not an HDF5 file"),
        (empty, "not an HDF5 file"),
        (plain, "not a cosface embedding store"),
        (tmp_path, "a folder, not a store"),
        (tmp_path / "none.h5", "no such store"),
    ):
        with pytest.raises(CosfaceError, match=words) as caught:
            Store(path)
        assert not isinstance(caught.value, DamagedError) and caught.value.hint


def test_a_newer_schema_names_the_mend(tmp_path: Path):
    path = a_store(tmp_path / "s.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["schema"] = 2
        del file["identity"]  # whatever else a newer one changes
    with pytest.raises(CosfaceError, match=r"newer cosface; pip install -U cosface"):
        Store(path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_neither_crash_nor_hang(tmp_path: Path, seed: int):
    """Each is opened in a process of its own, since what is feared is a crash or a hang of the HDF5 library."""
    content = a_store(tmp_path / "s.h5").read_bytes()
    places = [at for at, value in enumerate(content) if value]
    random = np.random.default_rng(seed)
    code = (
        "import sys\nfrom pathlib import Path\nfrom cosface_cli.artifacts.store.store_file import Store\n"
        "from cosface_cli.errors import CosfaceError\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        with Store(Path(name)) as store:\n"
        "            list(store.rows()), store.vectors(0, len(store)), store.rejects()\n"
        "    except CosfaceError:\n        pass\n"
    )
    names = []
    for number in range(60):
        damaged = bytearray(content)
        for at in random.choice(places, 2):
            near = min(at + int(random.integers(-2, 3)), len(content) - 1)
            damaged[near] = random.choice([0, 1, 255, random.integers(256)])
        names.append(tmp_path / f"{number}.h5")
        names[-1].write_bytes(damaged)
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


@pytest.mark.slow
def test_memory_stays_flat_however_many_rows(tmp_path: Path):
    size, count = 128, 20_000  # 10 MB of vectors
    header = StoreHeader(model="m", model_id="id", template="dlib", flip="none", size=size)
    vector = unit(1, size)
    path = tmp_path / "s.h5"
    write_store(path, header, ((row(n), vector) for n in range(3000)), [])  # what is loaded once
    tracemalloc.start()
    try:
        assert write_store(path, header, ((row(n), vector) for n in range(count)), []) == count
        with Store(path) as store:
            assert sum(1 for _ in store.rows()) == count
            for start in range(0, count, 1024):
                store.vectors(start, min(start + 1024, count))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 << 20, f"{peak / 1e6:.1f} MB"
    assert path.stat().st_size > size * count * 4


def test_blocks_are_the_rows_in_order_and_read_only_what_is_asked_for(tmp_path: Path):
    with Store(a_store(tmp_path / "s.h5", 10)) as store:
        blocks = list(store.blocks(4))
        assert [(block.start, block.stop, len(block)) for block in blocks] == [(0, 4, 4), (4, 8, 4), (8, 10, 2)]
        assert [row for block in blocks for row in block.rows] == list(store.rows())
        assert np.array_equal(np.concatenate([block.vectors for block in blocks]), store.vectors(0, 10))
        assert all(block.unit.all() and not list(block.rejected()) for block in blocks)
        columns_only = store.blocks()
        assert len(next(columns_only).columns) == 10
    with Store(a_store(tmp_path / "empty.h5", 0)) as store:
        assert list(store.blocks()) == []


@pytest.mark.parametrize(
    ("length", "is_unit"),
    ((1.0, True), (1.0009, True), (0.9991, True), (1.0011, False), (0.9989, False), (0.0, False), (np.nan, False)),
)
def test_an_embedding_of_another_length_is_rejected_by_name(tmp_path: Path, length: float, is_unit: bool):
    path = tmp_path / "s.h5"
    vectors = [unit(0), (unit(1).astype(np.float64) * length).astype(np.float32), unit(2)]
    write_store(path, HEADER, zip(map(row, range(3)), vectors, strict=True), [])
    with Store(path) as store:
        (block,) = store.blocks()
        assert block.unit.tolist() == [True, is_unit, True]
        words = f"{path}: the embedding of person 1/1.jpg has length {length:g}, expected 1; embed it again"
        rejected = Rejected("person 1/1.jpg", "bad_embedding", words)
        assert list(block.rejected()) == ([] if is_unit else [rejected])
        assert list(block.rejected(np.array([True, False, True]))) == []


def test_an_unknown_flip_is_damage(tmp_path: Path):
    path = a_store(tmp_path / "s.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["flip"] = np.bytes_(b"both")
    with pytest.raises(DamagedError, match="unknown flip 'both'"):
        Store(path)
