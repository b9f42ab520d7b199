"""cosface index as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.cli.store_reader import read_plainly
from tests.conftest import Cosface

pytestmark = pytest.mark.slow


def test_a_photo_finds_itself_and_then_its_person(invoke: Cosface, made: Path, people: Path) -> None:
    probe = people / "person4" / "middle.jpg"
    done = invoke("index", "search", made / "people.index", probe, "-k", 3)
    assert done.code == 0, done
    assert [row["rank"] for row in done.rows] == [1, 2, 3]
    assert done.rows[0]["source"] == "person4/middle.jpg" and done.rows[0]["cos"] > 0.998
    assert {row["identity"] for row in done.rows} == {"person4"}
    assert [row["cos"] for row in done.rows] == sorted((row["cos"] for row in done.rows), reverse=True)
    assert all(row["probe"] == str(probe) for row in done.rows)


def test_search_equals_brute_force(invoke: Cosface, made: Path) -> None:
    done = invoke("index", "search", made / "people.index", made / "faces.h5", "-k", 20)
    embeddings, sources, _ = read_plainly(made / "faces.h5")
    cosines = embeddings.astype(np.float64) @ embeddings.astype(np.float64).T
    by_probe: dict[str, list[dict]] = {}
    for row in done.rows:
        by_probe.setdefault(row["probe"], []).append(row)
    for number, source in enumerate(sources):
        rows = by_probe[source]
        assert [row["source"] for row in rows] == [sources[i] for i in np.argsort(-cosines[number], kind="stable")]
        assert np.abs(np.array([row["cos"] for row in rows]) - np.sort(cosines[number])[::-1]).max() < 1e-6


def test_k_above_the_gallery_gives_what_there_is(invoke: Cosface, made: Path, people: Path) -> None:
    done = invoke("index", "search", made / "people.index", people / "actor", "-k", 500)
    assert len(done.rows) == 20 and all(row["source"] for row in done.rows)


def test_crops_folders_and_standard_input_are_probes(invoke: Cosface, made: Path, people: Path) -> None:
    index = made / "people.index"
    crops = invoke("index", "search", index, made / "aligned", "-k", 1)
    assert len(crops.rows) == 20 and all(row["cos"] > 0.999999 for row in crops.rows), "a crop finds itself exactly"
    one = invoke("index", "search", index, made / "aligned" / "person1" / "far.jpg", "-k", 1)
    assert one.rows[0]["cos"] > 0.999999, "a single crop is known by its folder's manifest"
    photos = invoke("index", "search", index, "-", "-k", 1, input=f"{people}/person2/far.jpg\n".encode())
    assert photos.rows[0]["identity"] == "person2"


def test_a_photo_without_a_face_is_a_named_reject(invoke: Cosface, made: Path, people: Path) -> None:
    done = invoke("index", "search", made / "people.index", people / "masks", people / "person1" / "far.jpg", "-k", 1)
    assert done.code == 3
    assert [row.get("status") for row in done.rows].count("rejected") == 4
    assert "no face was found" in done.err


def test_the_same_store_twice_is_indexed_once(invoke: Cosface, made: Path, tmp_path: Path) -> None:
    done = invoke("index", "build", made / "faces.h5", made / "faces.h5", tmp_path / "i")
    assert done.code == 0 and done.rows[0]["rows"] == 20 and done.rows[0]["doubles"] == 20
    assert "more than once" in done.err


def test_the_index_is_plain_numpy(made: Path) -> None:
    header = json.loads((made / "people.index" / "index.json").read_text())
    (segment,) = header["segments"]
    vectors = np.load(made / "people.index" / segment["vectors"], mmap_mode="r", allow_pickle=False)
    embeddings, _, _ = read_plainly(made / "faces.h5")
    assert vectors.shape == (20, 128) and (vectors == embeddings).all()
    assert header["metric"] == "cos" and header["model_id"] == read_plainly(made / "faces.h5")[2]["model_id"]


def other_model(source: Path, target: Path) -> Path:
    """A copy of a store that says it is of another model."""
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as store:
        store.attrs["model"], store.attrs["model_id"] = np.bytes_("another"), np.bytes_("another-0123")
    return target


def test_another_model_is_refused_by_name(invoke: Cosface, made: Path, tmp_path: Path) -> None:
    other = other_model(made / "faces.h5", tmp_path / "other.h5")
    for words in (
        ("index", "build", made / "faces.h5", other, tmp_path / "i"),
        ("index", "search", made / "people.index", other),
    ):
        done = invoke(*words)
        assert done.code == 2 and "another-0123" in done.err and "dlib-resnet29" in done.err, done
        assert len(done.err.splitlines()) == 1 and done.out == ""
    assert not (tmp_path / "i" / "index.json").exists()
    invoke("index", "build", other, tmp_path / "j")
    unknown = invoke("index", "search", tmp_path / "j", made / "aligned")
    assert unknown.code == 2 and "--model" in unknown.err


def test_rows_that_are_no_unit_vectors_are_rejected_by_name(invoke: Cosface, made: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw.h5"
    raw.write_bytes((made / "faces.h5").read_bytes())
    with h5py.File(raw, "r+") as store:
        store["embeddings"][3] = store["embeddings"][3] * 1.5
        store["embeddings"][4] = np.nan
        store["embeddings"][5] = 0
    done = invoke("index", "build", raw, tmp_path / "i")
    sources = read_plainly(raw)[1]
    assert done.code == 3 and done.rows[0]["rows"] == 17
    assert all(sources[n] in done.err for n in (3, 4, 5))
    found = invoke("index", "search", tmp_path / "i", made / "faces.h5", "-k", 1)
    own = {row["probe"]: row for row in found.rows}
    assert all(own[s]["source"] == s for n, s in enumerate(sources) if n not in (3, 4, 5)), "no name is shifted"


def test_an_empty_store_gives_an_empty_index(invoke: Cosface, people: Path, made: Path, tmp_path: Path) -> None:
    invoke("embed", people / "masks", tmp_path / "empty.h5")
    built = invoke("index", "build", tmp_path / "empty.h5", tmp_path / "i")
    assert built.code == 1 and built.rows[0]["rows"] == 0, "nothing there: the answer is no"
    done = invoke("index", "search", tmp_path / "i", people / "actor")
    assert done.code == 1 and done.rows == [], "no match"


def test_one_line_errors(invoke: Cosface, made: Path, people: Path, tmp_path: Path) -> None:
    for words, part in [
        (("index", "search", tmp_path / "none", people), "no index here"),
        (("index", "build", tmp_path / "none.h5", tmp_path / "i"), "no such store"),
        (("index", "build", made / "faces.h5"), "STORE..."),
        (("index", "search", made / "people.index", tmp_path / "none.jpg"), "no such file"),
        (("index",), "index --help"),
    ]:
        done = invoke(*words)
        assert done.code == 2 and len(done.err.splitlines()) == 1 and part in done.err, done


def test_one_process_serves_a_pipe_line_by_line(made: Path, people: Path, model_cache: Path) -> None:
    """Each path is answered before the next one is written; a bad one is a named reject and the process goes on."""
    command = [sys.executable, "-m", "cosface_cli", "index", "search", made / "people.index", "-", "-k", "1", "--quiet"]
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None

    def ask(path: Path) -> dict:
        process.stdin.write(bytes(path) + b"\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    crop = made / "aligned" / "person2" / "near.jpg"
    assert ask(people / "person1" / "far.jpg")["source"] == "person1/far.jpg"
    assert ask(people / "nothing.jpg")["status"] == "rejected"
    assert ask(people)["status"] == "rejected", "a folder is no photo"
    assert ask(crop)["cos"] > 0.999999, "a crop is known by its folder's manifest"
    assert ask(people / "person1" / "far.jpg")["source"] == "person1/far.jpg", "as often as it is asked for"
    process.stdin.close()
    assert process.wait(timeout=60) == 3
    process.stdout.close()


def test_filters_and_people(invoke: Cosface, made: Path, people: Path) -> None:
    index, probe = made / "people.index", people / "person4" / "middle.jpg"
    others = invoke("index", "search", index, probe, "--filter", "identity=person1", "-k", 9)
    assert {row["identity"] for row in others.rows} == {"person1"} and len(others.rows) == 3
    by = invoke("index", "search", index, probe, "--by", "identity", "-k", 50)
    names = [row["identity"] for row in by.rows]
    assert names[0] == "person4" and len(names) == len(set(names)) == 8
    sure = invoke("index", "search", index, probe, "--min-cos", "0.93", "-k", 20)
    assert sure.code == 0 and {row["identity"] for row in sure.rows} == {"person4"}
    score = sure.rows[0]["probe_score"]
    assert 0.9 < score <= 1 and score != sure.rows[0]["cos"], "how sure the detector is, and how alike the faces are"
    unsure = invoke("index", "search", index, probe, "--min-score", min(1.0, score + 1e-5), "-k", 1)
    assert unsure.code == 2 and unsure.rows[0]["status"] == "rejected", "no face is that sure"
    assert invoke("index", "search", index, probe, "--min-cos", "0.9999", "-k", 3).code == 1, "no face is that like"
    assert invoke("index", "search", index, probe, "--since", "2999-01-01").code == 1, "no photo is that new"
    assert len(invoke("index", "search", index, probe, "--since", "1999-01-01", "-k", 50).rows) == 20, (
        "the time of a crop is its photo's, from the manifest"
    )


def test_a_store_is_added(invoke: Cosface, made: Path, people: Path, tmp_path: Path) -> None:
    invoke("embed", people / "person1", tmp_path / "one.h5")
    invoke("index", "build", tmp_path / "one.h5", tmp_path / "i")
    added = invoke("index", "add", made / "faces.h5", tmp_path / "i")
    assert added.code == 0 and (added.rows[0]["rows"], added.rows[0]["added"]) == (23, 20), added
    again = invoke("index", "add", made / "faces.h5", tmp_path / "i")
    assert again.code == 0 and again.rows[0]["added"] == 0 and "20 unchanged" not in again.out
