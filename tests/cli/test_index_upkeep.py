"""cosface index forget, info, check, merge and export, as a person runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Cosface

pytestmark = pytest.mark.slow


def test_a_person_is_forgotten(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    """From photos to crops, store and index, and out of all of them; with the crops of the photos that are still there
    the person is cropped and embedded again, and the index leaves them out."""
    aligned, store, index = tmp_path / "aligned", tmp_path / "faces.h5", tmp_path / "people.index"
    invoke("align", people, aligned)
    invoke("embed", aligned, store)
    invoke("index", "build", store, index)
    asked = invoke("index", "forget", index, "--identity", "person3")
    assert asked.code == 1 and "--yes would remove" in asked.err and (aligned / "person3").exists()
    crops = [path.read_bytes() for path in (aligned / "person3").iterdir()]
    done = invoke("index", "forget", index, "--identity", "person3", "--yes")
    assert done.code == 0 and done.rows[0]["done"] and done.rows[0]["crops"] == 3 and "no trace found" in done.err, done
    for path in [store, *index.rglob("*"), *aligned.rglob("*")]:
        content = path.read_bytes() if path.is_file() else b""
        assert b"person3" not in content and not any(crop[-500:] in content for crop in crops), path
    found = invoke("index", "search", index, people / "person3" / "near.jpg", "-k", 20)
    assert len(found.rows) == 17 and "person3" not in {row["identity"] for row in found.rows}
    assert invoke("index", "check", index).code == 0
    again = invoke("index", "forget", index, "--identity", "person3", "--yes")
    assert again.code == 1 and "no such person or photo" in again.err
    invoke("align", people, aligned)
    invoke("embed", aligned, store)
    built = invoke("index", "build", store, index)
    assert built.rows[0]["forgotten"] == 3 and built.rows[0]["rows"] == 17 and "their faces were forgotten" in built.err


def test_info_check_merge_and_export(invoke: Cosface, made: Path, tmp_path: Path) -> None:
    info = invoke("index", "info", made / "people.index")
    assert info.code == 0 and info.rows[0]["rows"] == 20 and "20 faces of 8 identities" in info.err
    check = invoke("index", "check", made / "people.index")
    assert check.code == 0 and check.rows[0]["ok"] and check.rows[0]["compared"] == 20
    merged = invoke("index", "merge", made / "people.index", made / "people.index", tmp_path / "m")
    assert merged.code == 0 and merged.rows[0]["rows"] == 20 and merged.rows[0]["doubles"] == 20
    for name in ("v.npy", "r.csv", "t.parquet"):
        assert invoke("index", "export", made / "people.index", tmp_path / name).rows[0]["rows"] == 20
    wrong = invoke("index", "export", made / "people.index", tmp_path / "t.txt")
    assert wrong.code == 2 and len(wrong.err.splitlines()) == 1 and "npy, csv, parquet" in wrong.err
    path = tmp_path / "m" / json.loads((tmp_path / "m" / "index.json").read_text())["segments"][0]["vectors"]
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    bad = invoke("index", "check", tmp_path / "m")
    assert bad.code == 1 and not bad.rows[0]["ok"] and path.name in bad.err


def test_damaged_files_are_refused_and_a_build_mends_them(invoke: Cosface, made: Path, tmp_path: Path) -> None:
    index = tmp_path / "i"
    invoke("index", "build", made / "faces.h5", index)
    header = json.loads((index / "index.json").read_text())
    (segment,) = header["segments"]
    for name in (segment["vectors"], segment["names"], "index.json"):
        path = index / name
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        done = invoke("index", "search", index, made / "faces.h5")
        assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1 and name in done.err, done
        invoke("index", "build", made / "faces.h5", index)
        assert invoke("index", "search", index, made / "faces.h5", "-k", 1).code == 0


def test_an_index_of_another_metric_is_refused(invoke: Cosface, made: Path, tmp_path: Path) -> None:
    invoke("index", "build", made / "faces.h5", tmp_path / "i")
    main = tmp_path / "i" / "index.json"
    main.write_text(main.read_text().replace('"cos"', '"l2"'))
    done = invoke("index", "search", tmp_path / "i", made / "faces.h5")
    assert done.code == 2 and done.out == "" and "index.json" in done.err and len(done.err.splitlines()) == 1, done


def test_building_again_leaves_no_old_files(invoke: Cosface, made: Path, people: Path, tmp_path: Path) -> None:
    index = tmp_path / "i"
    invoke("index", "build", made / "faces.h5", index)
    before = {p.name: p.read_bytes() for p in index.iterdir()}
    invoke("index", "build", made / "faces.h5", index)
    assert {p.name: p.read_bytes() for p in index.iterdir()} == before
    invoke("embed", people / "person1", tmp_path / "one.h5")
    invoke("index", "build", tmp_path / "one.h5", index)
    assert len(list(index.iterdir())) == 3
    assert json.loads((index / "index.json").read_text())["rows"] == 3
