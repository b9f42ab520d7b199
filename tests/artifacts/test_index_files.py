"""The index folder: settled in one step, the old one whole until then, foreign folders refused."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from cosface_cli.artifacts.files import atomic
from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.artifacts.index import index_folder
from cosface_cli.artifacts.index.index_folder import (
    IndexHeader,
    Segment,
    add_file,
    check_sums,
    publish_index_json,
    read_header,
    require_whole,
)
from cosface_cli.artifacts.index.index_rows import IndexRows, RowsWriter
from cosface_cli.artifacts.store.face_rows import FACE_KEY, KEY, SOURCE_KEY, Columns, FaceRow
from cosface_cli.errors import CosfaceError, DamagedError


def row(number: int) -> FaceRow:
    source = f"{number % 3}/名 {number}.jpg" if number % 5 else "byte\udcff.jpg"
    identity = str(number % 3) if number % 7 else None
    return FaceRow(
        source=source,
        identity=identity,
        root="/r",
        settings="s",
        face=1,
        box=(1.0, 2.0, 3.0, 4.0),
        score=0.5,
        sharpness=1.5,
        hash=f"{number:064x}",
        size=number,
        mtime_ns=2,
    )


def header(segment: Segment, files: dict[str, index_folder.FileSum]) -> IndexHeader:
    return IndexHeader(
        engine="faiss",
        model="dlib",
        model_id="dlib-01",
        template="dlib",
        flip="none",
        size=4,
        rows=segment.rows,
        next_id=segment.rows,
        segments=(segment,),
        files=files,
        stores=("/s.h5",),
    )


def rows_file(root: Path, count: int) -> Path:
    path = atomic.partial(root / "packed")
    with RowsWriter(atomic.partial(root / "rows"), path) as rows:
        for low in range(0, count, 500):
            columns = Columns.of([row(number) for number in range(low, min(low + 500, count))])
            rows.add(columns, np.arange(low, low + len(columns), dtype=np.int64) + 7, columns.keys())
    assert rows.count == count
    return path


def built(root: Path, count: int = 3, vectors: bytes = b"vectors") -> IndexHeader:
    root.mkdir(exist_ok=True)
    atomic.partial(root / "vectors").write_bytes(vectors)
    vectors_name, vectors_sum = add_file(root, atomic.partial(root / "vectors"), "vectors.{}.npy")
    rows_name, rows_sum = add_file(root, rows_file(root, count), "rows.{}.h5")
    segment = Segment(rows=count, vectors=vectors_name, names=rows_name)
    publish_index_json(root, header(segment, {vectors_name: vectors_sum, rows_name: rows_sum}))
    return read_header(root)


def opened(root: Path, found: IndexHeader) -> IndexRows:
    return IndexRows(root / found.segments[0].names, found.rows)


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


@pytest.mark.parametrize("count", (0, 3, 1024, 2100))
def test_rows_come_back(tmp_path: Path, count: int):
    rows = opened(tmp_path / "i", built(tmp_path / "i", count))
    want = [row(number) for number in range(count)]
    assert list(rows) == want and len(rows) == count
    assert [rows[number] for number in range(0, count, 700)] == want[::700]
    assert [rows.identity(number) for number in range(0, count, 90)] == [r.identity for r in want[::90]]
    assert (rows.ids == np.arange(count) + 7).all() and (rows.times == 2).all() and (rows.faces == 1).all()
    assert [bytes(digest).hex() for digest in rows.hashes] == [r.hash for r in want]
    assert (rows.keys == Columns.of(want).keys()).all()
    assert list(rows.columns(0, count).rows()) == want


def test_keys_tell_what_is_the_same():
    from dataclasses import replace

    def parts(one: FaceRow) -> tuple[bytes, bytes, bytes]:
        key = Columns.of([one]).keys().view(f"V{KEY}")[0].tobytes()
        return key[:SOURCE_KEY], key[:FACE_KEY], key

    first = row(1)
    for change, same in (
        ({}, (True, True, True)),
        ({"score": 0.9, "mtime_ns": 5, "size": 1, "sharpness": 0.1}, (True, True, True)),
        ({"settings": "t"}, (True, True, False)),
        ({"box": (1.0, 2.0, 3.0, 5.0)}, (True, True, False)),
        ({"hash": "ab" * 32}, (True, False, False)),
        ({"face": 2}, (True, False, False)),
        ({"source": "1/other.jpg"}, (False, False, False)),
        ({"root": "/elsewhere"}, (False, False, False)),
    ):
        other = parts(replace(first, **change))
        assert tuple(a == b for a, b in zip(parts(first), other, strict=True)) == same, change


def test_columns_and_rows_are_the_same():
    rows = [row(number) for number in range(20)]
    columns = Columns.of(rows)
    assert list(columns.rows()) == rows and len(columns) == 20
    mask = np.arange(20) % 3 == 0
    assert (
        list(columns.select(mask).rows()) == rows[::3] and (columns.select(mask).keys() == columns.keys()[mask]).all()
    )


def test_files_are_named_by_their_content(tmp_path: Path):
    found = built(tmp_path / "i")
    assert found.metric == "cos" and found.rows == 3 and found.schema == 1
    assert set(found.files) == set(found.segments[0].files) and not check_sums(tmp_path / "i", found)
    for name, held in found.files.items():
        assert file_sha256(tmp_path / "i" / name) == held.sha256 and held.sha256[:12] in name
        assert (tmp_path / "i" / name).stat().st_size == held.bytes
    assert names(tmp_path / "i") == {"index.json", *found.files}


def test_the_same_rows_give_the_same_folder(tmp_path: Path):
    built(tmp_path / "1"), built(tmp_path / "2")
    for name in names(tmp_path / "1"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_new_build_takes_the_old_files_away(tmp_path: Path):
    built(tmp_path / "i")
    new = built(tmp_path / "i", 5, b"other vectors")
    assert names(tmp_path / "i") == {"index.json", *new.files}
    assert built(tmp_path / "i", 5, b"other vectors") == new  # the same again: nothing that it names is swept away
    assert names(tmp_path / "i") == {"index.json", *new.files}


def test_stopped_before_the_last_step_the_old_index_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old = built(tmp_path / "i")
    with monkeypatch.context() as patched:
        patched.setattr(index_folder.atomic, "write_text", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            built(tmp_path / "i", 7, b"other vectors")
    assert read_header(tmp_path / "i") == old and not check_sums(tmp_path / "i", old)
    new = built(tmp_path / "i", 8, b"third")
    assert names(tmp_path / "i") == {"index.json", *new.files}


def segment(**change: object) -> dict[str, object]:
    return {"segments": [{**json.loads(json.dumps(SEGMENT)), **change}]}


SEGMENT = {"rows": 3, "vectors": "v", "names": "n", "search": "flat", "lists": None, "settings": {}}
FOREIGN = (
    ("{garbage", "damaged index"),
    ("[1]", "damaged index"),
    ("17", "damaged index"),
    ("[" * 100_000, "damaged index"),
    ({"kind": "something"}, "not a cosface index"),
    ({"schema": 2}, "newer cosface"),
    ({"schema": None}, "damaged index"),
    (segment(vectors="../../etc/passwd"), "damaged index"),
    (segment(names="/etc/passwd"), "damaged index"),
    (segment(names=3), "damaged index"),
    (segment(rows="3"), "damaged index"),
    (segment(rows=4), "damaged index"),
    (segment(settings=[]), "damaged index"),
    (segment(more=1), "damaged index"),
    ({"segments": 7}, "damaged index"),
    ({"segments": []}, "damaged index"),
    ({"files": {}}, "damaged index"),
    ({"files": {"index.json": {"bytes": 1, "sha256": ""}}}, "damaged index"),
    ({"rows": "3"}, "damaged index"),
    ({"rows": -1}, "damaged index"),
    ({"rows": 1 << 60}, "damaged index"),
    ({"size": 0}, "damaged index"),
    ({"size": [4]}, "damaged index"),
    ({"size": 1 << 40}, "damaged index"),
    ({"model_id": None}, "damaged index"),
    ({"metric": "l2"}, "damaged index"),
    ({"uri": 5}, "damaged index"),
)


@pytest.mark.parametrize(("change", "words"), FOREIGN, ids=range(len(FOREIGN)))
def test_a_foreign_header_is_one_line(tmp_path: Path, change: object, words: str):
    found = built(tmp_path)
    path = tmp_path / "index.json"
    if isinstance(change, dict) and change.get("segments") and isinstance(change["segments"], list):
        own = change["segments"][0]
        own["vectors"] = found.segments[0].vectors if own["vectors"] == "v" else own["vectors"]
        own["names"] = found.segments[0].names if own["names"] == "n" else own["names"]
    path.write_text(change if isinstance(change, str) else json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CosfaceError, match=words):
        read_header(tmp_path)


def test_a_field_is_missing(tmp_path: Path):
    built(tmp_path)
    path = tmp_path / "index.json"
    for name in ("model", "rows", "files", "segments", "next_id"):
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


def test_a_file_of_another_length_or_content(tmp_path: Path):
    found = built(tmp_path)
    path = tmp_path / found.segments[0].vectors
    path.write_bytes(b"VECTORS")
    require_whole(tmp_path, found)
    assert check_sums(tmp_path, found) == [path.name]
    path.write_bytes(b"vectors and more")
    with pytest.raises(DamagedError, match="damaged: 16 bytes, expected 7"):
        require_whole(tmp_path, found)
    path.unlink()
    with pytest.raises(DamagedError, match="cannot be read"):
        require_whole(tmp_path, found)


def test_damaged_rows_are_one_line(tmp_path: Path):
    found = built(tmp_path)
    path = tmp_path / found.segments[0].names
    content = path.read_bytes()

    def changed(name: str, value: object) -> None:
        with h5py.File(path, "r+") as file:
            del file[name]
            if value is not None:
                file[name] = value

    def in_chunks() -> None:
        with h5py.File(path, "r+") as file:
            del file["score"]
            file.create_dataset("score", data=np.zeros(3, np.float32), chunks=(1,))

    def elsewhere() -> None:
        with h5py.File(path, "r+") as file:
            del file["score"]
            file.create_dataset("score", (3,), np.float32, external=[("/etc/passwd", 0, 12)])

    def a_code() -> None:
        with h5py.File(path, "r+") as file:
            file["identity/codes"][:] = 1000

    def an_end() -> None:
        with h5py.File(path, "r+") as file:
            file["source/offsets"][1] = 1 << 40

    damages = (
        lambda: changed("box", None),
        lambda: changed("score", h5py.SoftLink("/sharpness")),
        lambda: changed("score", np.float32(1)),
        lambda: changed("id", np.zeros(2, np.int64)),
        lambda: changed("key", np.zeros((3, 20), np.uint8)),
        lambda: changed("source/offsets", np.zeros(2, np.int64)),
        in_chunks,
        elsewhere,
        a_code,
        an_end,
        path.unlink,
        lambda: path.write_bytes(content[:-9]),
        lambda: path.write_bytes(b""),
        lambda: path.write_bytes(b"no HDF5 at all" * 100),
    )
    for damage in damages:
        damage()
        with pytest.raises(DamagedError, match="build it again"):
            list(opened(tmp_path, found))
        with pytest.raises(DamagedError, match="build it again"):
            _ = [opened(tmp_path, found)[number] for number in range(3)]
        path.write_bytes(content)
    with pytest.raises(DamagedError):
        IndexRows(path, 4)


def test_a_full_disk_is_an_error_and_no_crash(small_disk: Path):
    with pytest.raises(CosfaceError, match="the disk is full"), atomic.write_errors(small_disk):
        built(small_disk, 3000)
    with pytest.raises(CosfaceError, match="no index here"):
        read_header(small_disk)
