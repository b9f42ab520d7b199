"""The index folder: settled in one step, the old one whole until then, foreign folders refused."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from cosface_cli.artifacts import atomic, index_files
from cosface_cli.artifacts.index_files import IndexHeader, IndexRows, RowsFile, read_header, settle
from cosface_cli.artifacts.model_cache import file_sha256
from cosface_cli.artifacts.rows import Row
from cosface_cli.errors import CosfaceError, DamagedError


def row(number: int) -> Row:
    source = f"{number % 3}/名 {number}.jpg" if number % 5 else "byte\udcff.jpg"
    return Row(source, str(number % 3), "/r", "s", 1, (1.0, 2.0, 3.0, 4.0), 0.5, 1.5, f"{number:064x}", number, 2)


def header(vectors: str, names: str, checksums: dict[str, str], rows: int = 3) -> IndexHeader:
    return IndexHeader("flat", "dlib", "dlib-01", "dlib", "none", 4, rows, vectors, names, checksums, ["/s.h5"])


def built(root: Path, count: int = 3, vectors: bytes = b"vectors") -> IndexHeader:
    root.mkdir(exist_ok=True)
    parts = [atomic.partial(root / name) for name in ("index", "rows")]
    parts[0].write_bytes(vectors)
    with RowsFile(parts[1]) as rows:
        for number in range(count):
            rows.add(row(number))
    assert rows.count == count
    settle(root, parts[0], parts[1], lambda v, n, c: header(v, n, c, count))
    return read_header(root)


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


@pytest.mark.parametrize("count", (0, 3, 1024, 2100))
def test_rows_come_back(tmp_path: Path, count: int):
    found = built(tmp_path / "i", count)
    with IndexRows(tmp_path / "i" / found.names, count) as rows:
        assert list(rows) == [row(number) for number in range(count)]
        for number in range(0, count, 700):
            assert rows[number] == row(number)


def test_files_are_named_by_their_content(tmp_path: Path):
    found = built(tmp_path / "i")
    assert found.metric == "cos" and found.rows == 3 and found.schema == 1
    assert set(found.checksums) == {found.vectors, found.names}
    for name, digest in found.checksums.items():
        assert file_sha256(tmp_path / "i" / name) == digest and digest[:12] in name
    assert names(tmp_path / "i") == {"index.json", found.vectors, found.names}


def test_the_same_rows_give_the_same_folder(tmp_path: Path):
    built(tmp_path / "1"), built(tmp_path / "2")
    for name in names(tmp_path / "1"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_new_build_takes_the_old_files_away(tmp_path: Path):
    old, new = built(tmp_path / "i"), built(tmp_path / "i", 5, b"other vectors")
    assert names(tmp_path / "i") == {"index.json", new.vectors, new.names} and new.vectors != old.vectors
    assert built(tmp_path / "i", 5, b"other vectors") == new  # the same again: nothing that it names is swept away
    assert names(tmp_path / "i") == {"index.json", new.vectors, new.names}


def test_stopped_before_the_last_step_the_old_index_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = built(tmp_path / "i")
    with monkeypatch.context() as patched:
        patched.setattr(index_files.atomic, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            built(tmp_path / "i", 7, b"other vectors")
    assert read_header(tmp_path / "i") == old
    for name, digest in old.checksums.items():
        assert file_sha256(tmp_path / "i" / name) == digest
    new = built(tmp_path / "i", 8, b"third")
    assert names(tmp_path / "i") == {"index.json", new.vectors, new.names}


@pytest.mark.parametrize(
    ("change", "words"),
    (
        ("{garbage", "damaged index"),
        ("[1]", "damaged index"),
        ("17", "damaged index"),
        ("[" * 100_000, "damaged index"),
        ({"kind": "something"}, "not a cosface index"),
        ({"schema": 2}, "newer cosface"),
        ({"schema": None}, "damaged index"),
        ({"vectors": "../../etc/passwd"}, "damaged index"),
        ({"names": "/etc/passwd"}, "damaged index"),
        ({"names": ".."}, "damaged index"),
        ({"names": ""}, "damaged index"),
        ({"vectors": 3}, "damaged index"),
        ({"rows": "3"}, "damaged index"),
        ({"rows": -1}, "damaged index"),
        ({"size": 0}, "damaged index"),
        ({"size": [4]}, "damaged index"),
        ({"model_id": None}, "damaged index"),
    ),
    ids=range(17),
)
def test_a_foreign_header_is_one_line(tmp_path: Path, change: object, words: str):
    built(tmp_path)
    path = tmp_path / "index.json"
    path.write_text(change if isinstance(change, str) else json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CosfaceError, match=words):
        read_header(tmp_path)


def test_a_field_is_missing(tmp_path: Path):
    built(tmp_path)
    path = tmp_path / "index.json"
    for name in ("model", "rows", "checksums"):
        found = json.loads(path.read_text())
        del found[name]
        (tmp_path / "index.json").write_text(json.dumps(found))
        with pytest.raises(CosfaceError, match="damaged index; build it again"):
            read_header(tmp_path)
        built(tmp_path)


def test_no_index_here(tmp_path: Path):
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(CosfaceError, match="no index here; build one"):
            read_header(place)


def test_damaged_rows_are_one_line(tmp_path: Path):
    found = built(tmp_path)
    path = tmp_path / found.names
    content = path.read_bytes()

    def a_group() -> None:
        with h5py.File(path, "r+") as file:
            del file["box"]
            file.create_group("box")

    def a_link() -> None:
        with h5py.File(path, "r+") as file:
            del file["score"]
            file["score"] = h5py.SoftLink("/sharpness")

    def a_code() -> None:
        with h5py.File(path, "r+") as file:
            file["identity/codes"][:] = 1000

    def a_number() -> None:
        with h5py.File(path, "r+") as file:
            del file["score"]
            file["score"] = np.float32(1)

    for damage in (a_group, a_link, a_code, a_number, path.unlink, lambda: path.write_bytes(content[:-9])):
        damage()
        with pytest.raises(DamagedError, match="build it again"), IndexRows(path, 3) as rows:
            list(rows)
        path.write_bytes(content)
    with pytest.raises(DamagedError), IndexRows(path, 4) as rows:
        pass


def test_a_full_disk_is_an_error_and_no_crash(small_disk: Path):
    with pytest.raises(CosfaceError, match="the disk is full"), atomic.told(small_disk):
        built(small_disk, 3000)
    with pytest.raises(CosfaceError, match="no index here"):
        read_header(small_disk)
