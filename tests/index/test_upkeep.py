"""Info, check, merge, export and migrate, on indexes made of numbers."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from cosface_cli.artifacts.index.index_folder import publish_index_json, read_header
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.index import AddConfig, BuildConfig
from cosface_cli.index.forget import ForgetConfig
from cosface_cli.index.forget.stage import forget
from cosface_cli.index.search.gallery import Gallery
from cosface_cli.index.stage import add, build
from cosface_cli.index.upkeep import CheckConfig, CheckReport, ExportConfig, InfoConfig, MergeConfig
from cosface_cli.index.upkeep.stage import check, export, info, merge
from tests.index.stores import HEADER, row, store, vectors


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An index of 1,200 rows: 1,100 with lists, 100 more."""
    build(BuildConfig(stores=(store(tmp_path / "s.h5", range(1100)),), index=tmp_path / "i", search="sq8"))
    add(AddConfig(stores=(store(tmp_path / "t.h5", range(1100, 1200)),), index=tmp_path / "i"))
    return tmp_path / "i"


def test_info(root: Path, tmp_path: Path) -> None:
    report = info(InfoConfig(index=root))
    assert (report.rows, report.identities, report.size, report.metric) == (1200, 300, 32, "cos")
    assert [(part["rows"], part["search"]) for part in report.segments] == [(1100, "sq8"), (100, "flat")]
    assert report.segments[0]["recall"] >= 0.95 and report.model_id == HEADER.model_id
    assert report.stores == (str(tmp_path / "s.h5"), str(tmp_path / "t.h5")) and report.missing == ()
    (tmp_path / "t.h5").unlink()
    assert info(InfoConfig(index=root)).missing == (str(tmp_path / "t.h5"),)
    assert report.bytes == sum(p.stat().st_size for p in root.iterdir() if p.name != "index.json")


def looked(root: Path, **options) -> CheckReport:
    return check(CheckConfig(index=root, **options))


def test_a_whole_index_passes(root: Path, tmp_path: Path) -> None:
    for rows, tried in ((10_000, 1200), (0, 1200), (7, 7)):
        report = looked(root, rows=rows)
        assert report.ok and report.problems == () and (report.searched, report.found) == (tried, tried)
    assert looked(root).compared == 1200
    build(BuildConfig(stores=(store(tmp_path / "e.h5", []),), index=tmp_path / "empty"))
    assert looked(tmp_path / "empty").ok


@pytest.mark.slow
def test_every_byte_that_changed_is_told(root: Path) -> None:
    rng = np.random.default_rng(0)
    for name in read_header(root).files:
        path = root / name
        content = path.read_bytes()
        for at in rng.integers(0, len(content), 4):
            damaged = bytearray(content)
            damaged[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(damaged)
            report = looked(root, rows=20)
            assert not report.ok and any(name in problem for problem in report.problems), (name, at)
        path.write_bytes(content)
    assert looked(root).ok


def test_stores_and_index_that_do_not_agree(root: Path, tmp_path: Path) -> None:
    store(tmp_path / "t.h5", range(1100, 1230))
    problems = looked(root).problems
    assert len(problems) == 1 and "t.h5: 30 of its rows are not in the index" in problems[0]
    store(tmp_path / "t.h5", range(1100, 1200))
    with h5py.File(tmp_path / "t.h5", "r+") as file:
        file["embeddings"][:5] = file["embeddings"][5:10]
    assert [p.partition(": ")[2] for p in looked(root).problems] == ["5 of its rows have other vectors in the index"]
    (tmp_path / "t.h5").unlink()
    assert looked(root).ok
    other = store(tmp_path / "u.h5", range(9))
    assert looked(root, stores=(other,)).compared == 1109


def test_names_that_are_shifted_are_told(root: Path, tmp_path: Path) -> None:
    """The rows file of an index of other faces, put in with its checksum: keys and vectors do not go together."""
    rows = [row(n) for n in range(1, 101)]
    build(BuildConfig(stores=(store(tmp_path / "x.h5", range(1100, 1200), rows=rows),), index=tmp_path / "j"))
    mine, other = read_header(root), read_header(tmp_path / "j")
    segment, theirs = mine.segments[1], other.segments[0]
    (root / theirs.names).write_bytes((tmp_path / "j" / theirs.names).read_bytes())
    files = {**mine.files, theirs.names: other.files[theirs.names]}
    del files[segment.names]
    publish_index_json(
        root, replace(mine, segments=(mine.segments[0], replace(segment, names=theirs.names)), files=files)
    )
    problems = looked(root).problems
    assert any("t.h5: 100 of its rows are not in the index" in problem for problem in problems)
    assert any("ids do not ascend" in problem for problem in problems)


def test_a_damaged_index_is_told_and_no_index_is_an_error(root: Path, tmp_path: Path) -> None:
    path = root / read_header(root).segments[0].vectors
    path.write_bytes(path.read_bytes()[:-4])
    report = looked(root)
    assert not report.ok and "bytes, expected" in report.problems[0]
    with pytest.raises(CosfaceError, match="no index here"):
        looked(tmp_path)


def test_merge(root: Path, tmp_path: Path) -> None:
    build(BuildConfig(stores=(store(tmp_path / "b.h5", range(1150, 1300)),), index=tmp_path / "b"))
    report = merge(MergeConfig(indexes=(root, tmp_path / "b"), out=tmp_path / "all"))
    assert (report.rows, report.doubles, report.identities) == (1300, 50, 325)
    gallery = Gallery(tmp_path / "all")
    assert [r.source for r in gallery.rows()] == [row(n).source for n in range(1300)]
    assert (gallery.vectors(np.arange(1300)) == vectors(4000)[:1300]).all() and looked(tmp_path / "all").ok
    with pytest.raises(CosfaceError, match="this index already exists"):
        merge(MergeConfig(indexes=(root,), out=tmp_path / "all"))
    other = replace(HEADER, model_id="another")
    build(BuildConfig(stores=(store(tmp_path / "o.h5", range(5), header=other),), index=tmp_path / "o"))
    with pytest.raises(ModelMismatch, match="another"):
        merge(MergeConfig(indexes=(root, tmp_path / "o"), out=tmp_path / "none"))
    assert not (tmp_path / "none").exists()


WRONG: tuple[tuple[dict, str], ...] = (
    ({"search": "milvus"}, "choose one of auto, flat, sq8, pq"),
    ({"recall": 7.0}, "--recall must be above 0 and at most 1, got 7"),
    ({"search": "flat", "recall": 0.5}, "--recall has no effect"),
)


def test_merges_that_cannot_be(root: Path, tmp_path: Path) -> None:
    for change, words in WRONG:
        with pytest.raises(CosfaceError, match=words):
            merge(MergeConfig(indexes=(root,), out=tmp_path / "out", **change))
    assert not (tmp_path / "out").exists()


def test_what_one_forgot_is_not_merged_in_from_another(root: Path, tmp_path: Path) -> None:
    build(BuildConfig(stores=(store(tmp_path / "b.h5", range(8)),), index=tmp_path / "b"))
    (tmp_path / "b.h5").rename(tmp_path / "aside.h5")
    assert forget(ForgetConfig(index=tmp_path / "b", identity="person0001", yes=True)).done
    report = merge(MergeConfig(indexes=(root, tmp_path / "b"), out=tmp_path / "all"))
    assert (report.rows, report.forgotten) == (1196, 4)
    assert "person0001" not in {r.identity for r in Gallery(tmp_path / "all").rows()}
    assert add(AddConfig(stores=(tmp_path / "s.h5",), index=tmp_path / "all")).rows == 1196, "nor comes back later"


def test_export(tmp_path: Path) -> None:
    rows = [row(n) for n in range(40)]
    rows[3] = replace(rows[3], source='odd, "name"\n/byte\udcff.jpg', identity=None)
    build(BuildConfig(stores=(store(tmp_path / "s.h5", range(40), rows=rows),), index=tmp_path / "i"))
    assert export(ExportConfig(index=tmp_path / "i", out=tmp_path / "v.npy")).rows == 40
    loaded = np.load(tmp_path / "v.npy", allow_pickle=False)
    assert loaded.dtype == np.float32 and (loaded == vectors(4000)[:40]).all()

    export(ExportConfig(index=tmp_path / "i", out=tmp_path / "r.csv"))
    with (tmp_path / "r.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["source"] for line in lines] == [r.source for r in rows]
    assert [line["id"] for line in lines] == [str(n) for n in range(40)] and lines[3]["identity"] == ""
    assert lines[7]["hash"] == rows[7].hash and float(lines[7]["right"]) == 3.0 and "e0" not in lines[0]
    export(ExportConfig(index=tmp_path / "i", out=tmp_path / "w.csv", vectors=True))
    with (tmp_path / "w.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        numbers = [[float(line[f"e{i}"]) for i in range(32)] for line in csv.DictReader(file)]
    assert (np.array(numbers, np.float32) == vectors(4000)[:40]).all(), "each number comes back to the bit"

    pq = pytest.importorskip("pyarrow.parquet")
    export(ExportConfig(index=tmp_path / "i", out=tmp_path / "t.parquet"))
    table = pq.read_table(tmp_path / "t.parquet")
    assert (np.stack(table["embedding"].to_numpy()) == vectors(4000)[:40]).all()
    assert table["source"].to_pylist()[:3] == [r.source for r in rows[:3]]
    assert table["source"][3].as_py() == 'odd, "name"\n/byte\\xff.jpg' and table["identity"][3].as_py() is None
    assert table.schema.metadata[b"model_id"].decode() == HEADER.model_id
    assert table["box"] if "box" in table.column_names else table["left"][0].as_py() == 1.0


def test_an_export_of_nothing_and_to_nowhere(tmp_path: Path) -> None:
    build(BuildConfig(stores=(store(tmp_path / "s.h5", []),), index=tmp_path / "i"))
    for name in ("v.npy", "r.csv"):
        assert export(ExportConfig(index=tmp_path / "i", out=tmp_path / name)).rows == 0
    assert np.load(tmp_path / "v.npy").shape == (0, 32)
    with pytest.raises(CosfaceError, match="did you mean 'parquet'"):
        export(ExportConfig(index=tmp_path / "i", out=tmp_path / "t.parqet"))
    with pytest.raises(CosfaceError, match="no such folder"):
        export(ExportConfig(index=tmp_path / "i", out=tmp_path / "none" / "v.npy"))
    pq = pytest.importorskip("pyarrow.parquet")
    assert export(ExportConfig(index=tmp_path / "i", out=tmp_path / "t.parquet")).rows == 0
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 0
