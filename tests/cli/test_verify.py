"""cosface verify as a person runs it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Cosface

pytestmark = pytest.mark.slow


def test_same_and_different(invoke: Cosface, people: Path) -> None:
    same = invoke("verify", people / "person5" / "near.jpg", people / "person5" / "far.jpg")
    assert same.code == 0 and same.rows[0]["same"] is True, same
    other = invoke("verify", people / "person5" / "near.jpg", people / "person1" / "near.jpg")
    assert other.code == 1 and other.rows[0]["same"] is False, other
    for row in (same.rows[0], other.rows[0]):
        assert row["same"] == (row["cos"] >= row["threshold"]) and row["far_low"] <= row["far"] <= row["far_high"]
        assert {"cos", "threshold", "same", "far"} <= set(row)


def test_a_photo_against_itself(invoke: Cosface, people: Path) -> None:
    done = invoke("verify", people / "person2" / "far.jpg", people / "person2" / "far.jpg")
    assert done.code == 0 and done.rows[0]["cos"] == pytest.approx(1, abs=1e-6)


def test_the_threshold_decides(invoke: Cosface, people: Path) -> None:
    pair = (people / "person5" / "near.jpg", people / "person5" / "far.jpg")
    cos = invoke("verify", *pair).rows[0]["cos"]
    assert invoke("verify", *pair, "--threshold", cos + 1e-4).code == 1
    assert invoke("verify", *pair, "--threshold", cos - 1e-4).code == 0


def test_crops_are_not_aligned_twice(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    invoke("align", people, tmp_path / "aligned", "--crops", "png")
    photos = invoke("verify", people / "person1" / "near.jpg", people / "person1" / "far.jpg").rows[0]["cos"]
    crops = tmp_path / "aligned" / "person1"
    assert invoke("verify", crops / "near.png", crops / "far.png").rows[0]["cos"] == pytest.approx(photos, abs=1e-3)


def test_what_cannot_be_compared_is_said(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    good = people / "person1" / "near.jpg"
    for words, part in [
        ((good, people / "masks" / "mask_blue.jpg"), "mask_blue.jpg: no face was found"),
        ((good, tmp_path / "none.jpg"), "no such file"),
        ((good,), "two photos"),
        ((good, good, good), "two photos"),
        ((good, good, "--pairs", tmp_path / "p.txt"), "one SOURCE"),
        ((good, good, "--missing", "skip"), "--missing is not an option of a comparison of photos"),
        ((good, good, "--flip", "som"), "did you mean 'sum'?"),
    ]:
        done = invoke("verify", *words)
        assert done.code == 2 and done.out == "" and len(done.err.splitlines()) == 1 and part in done.err, done


def test_several_faces_are_said(invoke: Cosface, people: Path) -> None:
    done = invoke("verify", people / "group" / "t1.jpg", people / "actor" / "Tom_Hanks_54745.png", "--faces", "center")
    assert done.code in (0, 1) and "faces, the most central one was used" in done.err


@pytest.fixture
def lfw_like(people: Path, tmp_path: Path) -> Path:
    """Six people of three photos each, named as in LFW."""
    root = tmp_path / "images"
    for number in range(1, 7):
        name = f"Person_{number}"
        (root / name).mkdir(parents=True)
        for place, kind in enumerate(("near", "middle", "far"), 1):
            shutil.copy(people / f"person{number}" / f"{kind}.jpg", root / name / f"{name}_{place:04d}.jpg")
    return root


def pairs_file(path: Path, folds: int = 3, header: str | None = None) -> Path:
    lines = [header or f"{folds}\t2"]
    for fold in range(folds):
        a, b = 2 * fold + 1, 2 * fold + 2
        lines += [
            f"Person_{a}\t1\t3",
            f"Person_{b}\t2\t3",
            f"Person_{a}\t1\tPerson_{b}\t1",
            f"Person_{a}\t2\tPerson_{b}\t3",
        ]
    path.write_text("\n".join(lines) + "\n")
    return path


FIELDS = {"protocol", "pairs", "folds", "accuracy", "accuracy_se", "fold_accuracy", "thresholds", "tar_at_far"}
FIELDS |= {"missing", "model", "seconds"}


def test_pairs_by_folds(invoke: Cosface, lfw_like: Path, tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path / "pairs.txt")
    done = invoke("verify", lfw_like, "--pairs", pairs)
    assert done.code == 0, done
    (row,) = done.rows
    assert set(row) >= FIELDS
    assert (row["protocol"], row["pairs"], row["folds"], row["missing"]) == ("lfw", 12, 3, [])
    assert row["accuracy"] == 1.0 and row["accuracy_se"] == 0.0 and len(row["thresholds"]) == 3
    rates = {rate["far"]: rate for rate in row["tar_at_far"]}
    assert rates[0.1]["tar"] is None and rates[0.1]["impostors_needed"] == 10 and rates[0.1]["impostors"] == 6
    assert "not the standard 6000" in done.err


def test_pairs_resolve_after_align_with_nearly_the_same_scores(invoke: Cosface, lfw_like: Path, tmp_path: Path) -> None:
    invoke("align", lfw_like, tmp_path / "aligned", "--faces", "center", "--crops", "png")
    pairs = pairs_file(tmp_path / "pairs.txt")
    photos = invoke("verify", lfw_like, "--pairs", pairs).rows[0]
    crops = invoke("verify", tmp_path / "aligned", "--pairs", pairs).rows[0]
    assert np.allclose(photos["thresholds"], crops["thresholds"], atol=1e-3) and crops["accuracy"] == 1.0
    assert photos["data"] != crops["data"]


def test_missing_photos_count_as_errors_and_are_named(invoke: Cosface, lfw_like: Path, tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path / "pairs.txt")
    (lfw_like / "Person_3" / "Person_3_0001.jpg").unlink()
    Image.new("RGB", (200, 200)).save(lfw_like / "Person_6" / "Person_6_0003.jpg")
    done = invoke("verify", lfw_like, "--pairs", pairs)
    assert done.code == 3, done
    row = done.rows[0]
    assert sorted(row["missing"]) == ["Person_3/Person_3_0001", "Person_6/Person_6_0003"]
    assert row["pairs"] == 12 and row["scored"] == 8
    assert row["fold_accuracy"] == [1.0, 0.5, 0.5] and row["accuracy"] == pytest.approx(2 / 3)
    assert row["missing_rule"] == "error" and (row["genuine"], row["impostors"]) == (6, 4)
    assert row["eer"]["frr"] > 0  # genuine pairs without a face are rejected at every threshold
    allowed = invoke("verify", lfw_like, "--pairs", pairs, "--allow-missing", 2)
    assert allowed.code == 0 and allowed.rows[0]["accuracy"] == row["accuracy"]
    skipped = invoke("verify", lfw_like, "--pairs", pairs, "--missing", "skip")
    assert skipped.code == 0 and "4 of 12 pairs have no score and are left out" in skipped.err
    assert skipped.rows[0]["accuracy"] == 1.0 and skipped.rows[0]["scored"] == 8
    assert (skipped.rows[0]["genuine"], skipped.rows[0]["impostors"]) == (4, 4)


def test_lists_that_do_not_fit(invoke: Cosface, lfw_like: Path, tmp_path: Path) -> None:
    wrong = pairs_file(tmp_path / "wrong.txt", header="10\t2")
    done = invoke("verify", lfw_like, "--pairs", wrong)
    assert done.code == 2 and "40" in done.err and "12" in done.err and len(done.err.splitlines()) == 2
    single = pairs_file(tmp_path / "single.txt", folds=1)
    assert "fold" in invoke("verify", lfw_like, "--pairs", single).err
    nowhere = invoke("verify", tmp_path, "--pairs", pairs_file(tmp_path / "p.txt"))
    assert nowhere.code == 2 and "none of the photos" in nowhere.err


def test_lfw_counts_its_folds(invoke: Cosface, shared: Path, tmp_path: Path) -> None:
    text = (shared / "data" / "lfw" / "pairs.txt").read_text()
    head, rest = text.split("\n", 1)
    assert head.split() == ["6", "300"]
    (tmp_path / "p.txt").write_text("10\t300\n" + rest)
    done = invoke("verify", shared / "data" / "lfw" / "images", "--pairs", tmp_path / "p.txt")
    assert done.code == 2 and "6000" in done.err and "3600" in done.err


def test_all_pairs_of_photos_are_those_of_their_store(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    root = tmp_path / "raw"
    for number in (1, 2, 3):
        shutil.copytree(people / f"person{number}", root / f"person{number}")
    photos = invoke("verify", root, "--protocol", "all-pairs").rows[0]
    assert invoke("embed", root, tmp_path / "faces.h5", "--faces", "center").code == 0
    done = invoke("verify", tmp_path / "faces.h5")
    assert done.code == 0 and "protocol all-pairs" in done.err, done
    assert (photos["genuine"], photos["impostors"]) == (9, 27)
    same = ("genuine", "impostors", "tar_at_far", "eer", "data", "model_id")
    assert [photos[key] for key in same] == [done.rows[0][key] for key in same]


RATE = {"far", "tar", "low", "high", "threshold", "genuine", "impostors", "impostors_needed", "achieved_far"}


def test_numbers_as_json_from_scores_alone(invoke: Cosface, tmp_path: Path) -> None:
    """100 impostors at 0.00 to 0.99, ten genuine pairs from 0.955 on: at FAR .01 one may pass, .99; at .1 ten, 0.90."""
    rows = [f"{n / 100},0" for n in range(100)] + [f"{0.955 + n / 1000},1" for n in range(10)]
    (tmp_path / "scores.csv").write_text("score,same\n" + "\n".join(rows) + "\n")
    done = invoke("verify", tmp_path / "scores.csv", "--format", "json")
    assert done.code == 0 and "protocol csv: scores.csv has named columns" in done.err, done
    (row,) = done.rows
    by_far = {rate["far"]: rate for rate in row["tar_at_far"]}
    assert all(set(rate) >= RATE for rate in by_far.values())
    assert (by_far[0.1]["tar"], by_far[0.1]["threshold"], by_far[0.1]["achieved_far"]) == (1.0, 0.9, 0.1)
    assert (by_far[0.01]["tar"], by_far[0.01]["threshold"]) == (0.0, 0.99) and by_far[0.01]["impostors_needed"] is None
    assert by_far[0.01]["low"] == 0 and by_far[0.01]["high"] == pytest.approx(1 - 0.025**0.1)
    assert (by_far[1e-6]["tar"], by_far[1e-6]["impostors_needed"]) == (None, 1_000_000)
    assert row["accuracy"] is None and 0 < row["eer"]["eer"] < 0.06
    head, short = (
        line.split("\t") for line in invoke("verify", tmp_path / "scores.csv", "--format", "tsv").out.splitlines()
    )
    cells = dict(zip(head, short, strict=True))
    assert cells["TAR % at 0.1"] == "100.00 (69.15, 100.00)" and cells["TAR % at 1e-06"] == "needs 1000000 impostors"
    quiet = invoke("verify", tmp_path / "scores.csv", "--format", "json", "--quiet")
    assert quiet.err == "" and quiet.rows[0]["tar_at_far"] == row["tar_at_far"]


def test_scores_of_photos_are_written_and_read_again(invoke: Cosface, lfw_like: Path, tmp_path: Path) -> None:
    pairs = pairs_file(tmp_path / "pairs.txt")
    first = invoke("verify", lfw_like, "--pairs", pairs, "--scores", tmp_path / "scores.csv")
    assert first.code == 0 and (tmp_path / "scores.csv").read_text().startswith("left,right,same,fold,score,identity1")
    again = invoke("verify", tmp_path / "scores.csv")
    for key in ("accuracy", "fold_accuracy", "thresholds", "tar_at_far", "eer"):
        assert again.rows[0][key] == first.rows[0][key]
    nowhere = invoke("verify", lfw_like, "--pairs", pairs, "--scores", tmp_path / "no" / "s.csv")
    assert nowhere.code == 2 and "no such folder" in nowhere.err.splitlines()[-1]


def test_pairs_on_stdin(invoke: Cosface, people: Path) -> None:
    a, b, cloth = people / "person1" / "near.jpg", people / "person1" / "far.jpg", people / "masks" / "mask_blue.jpg"
    lines = f"{a}\t{b}\n" + json.dumps({"left": str(a), "right": str(cloth)}) + "\n"
    done = invoke("verify", "-", "--workers", 1, input=lines.encode())
    assert done.code == 3 and [row["status"] for row in done.rows] == ["ok", "rejected"], done
    assert done.rows[0]["same"] and done.rows[1]["reason"] == "no_face" and "mask_blue.jpg" in done.err
    names = b"\0".join(os.fsencode(name) for name in (a, people / "person2" / "near.jpg"))
    apart = invoke("verify", "-", "--workers", 1, input=names)
    assert apart.code == 1 and not apart.rows[0]["same"]
    empty = invoke("verify", "-", input=b"")
    assert empty.code == 2 and "no pairs on standard input" in empty.err and empty.out == ""


def test_one_against_many(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    probe = people / "person5" / "near.jpg"
    found = invoke("verify", probe, people / "person5", "--format", "tsv")
    assert found.code == 0 and len(found.out.splitlines()) == 4 and found.out.startswith("cos\tsame\tfar\t")
    assert "are the same file" in found.err and "look like copies of one photo" in found.err
    assert invoke("verify", probe, people / "person1").code == 1
    (tmp_path / "empty").mkdir()
    assert invoke("verify", probe, tmp_path / "empty").code == 1


def test_stores_calibration_and_leakage(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    """The words after verify, the files that pass between them, and a leak that was planted."""
    train, test, table = tmp_path / "train.h5", tmp_path / "test.h5", tmp_path / "c.json"
    for number in range(1, 7):
        (tmp_path / "raw" / f"p{number}").mkdir(parents=True)
        for kind in ("near", "middle", "far"):
            shutil.copy(people / f"person{number}" / f"{kind}.jpg", tmp_path / "raw" / f"p{number}")
    invoke("embed", tmp_path / "raw", train)
    made = invoke("verify", "calibrate", train, "--out", table)
    assert made.code == 0 and [row["far"] for row in made.rows] == [1e-2, 1e-3, 1e-4, 1e-5, 1e-6], made
    assert made.rows[0]["threshold"] > 0.5 and made.rows[1]["threshold"] is None
    assert "135 impostor pairs of 6 people" in made.err and "needs at least 1000000" in made.err
    words = ("verify", "p1/near.jpg", "p1/far.jpg", "--store", train, "--calibration", table)
    near = invoke(*words, "--far", "0.01")
    assert near.code == 0 and near.rows[0]["far"] == 0 and near.rows[0]["threshold"] == made.rows[0]["threshold"]
    assert "do not resolve --far 0.001" in invoke(*words).err
    everybody = invoke("verify", "p1/near.jpg", "--store", train)
    assert everybody.code == 0 and len(everybody.rows) == 18
    invoke("embed", people / "actor", test)
    clean = invoke("verify", "leakage", train, test, "--threshold", "0.97")
    assert clean.code == 0 and [row["kind"] for row in clean.rows] == ["score"], clean
    leak = invoke("verify", "leakage", train, tmp_path / "raw" / "p1", "--threshold", "0.97")
    assert leak.code == 1 and [row["kind"] for row in leak.rows].count("same_file") == 3, leak
    int8 = ("verify", "p1/near.jpg", "p1/far.jpg", "--model", "dlib-int8", "--store", train)
    assert "expected dlib-int8" in invoke(*int8).err


def test_a_file_that_is_called_like_a_word(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    shutil.copy(people / "person1" / "near.jpg", tmp_path / "leakage")
    done = invoke("verify", "leakage", "leakage", cwd=tmp_path)
    assert done.code == 2 and "this is a command, and leakage is also a file" in done.err and "./leakage" in done.err
    assert invoke("verify", "./leakage", "leakage", cwd=tmp_path).code == 0


def test_settings_from_a_file(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    pair = (people / "person1" / "near.jpg", people / "person1" / "far.jpg")
    (tmp_path / "cosface.toml").write_text('[verify]\nmodel = "dlib-int8"\nthreshold = 1.0\n')
    done = invoke("verify", *pair, cwd=tmp_path)
    assert done.code == 1 and done.rows[0]["model"] == "dlib-int8" and done.rows[0]["threshold"] == 1


def test_a_list_that_says_nothing_is_compared(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    """Without a column for it there is nothing to score: each pair gets its row. Names are relative to the list."""
    for number in (1, 2):
        shutil.copytree(people / f"person{number}", tmp_path / f"p{number}")
    (tmp_path / "pairs.csv").write_text("a,b,why\np1/near.jpg,p1/far.jpg,x\np1/near.jpg,p2/far.jpg,y\n")
    done = invoke("verify", "--pairs", tmp_path / "pairs.csv", "--workers", 1)
    assert done.code == 0 and [row["same"] for row in done.rows] == [True, False], done
    invoke("embed", tmp_path, tmp_path / "f.h5")
    stored = invoke("verify", "--pairs", tmp_path / "pairs.csv", "--store", tmp_path / "f.h5")
    assert [row["cos"] for row in stored.rows] == pytest.approx([row["cos"] for row in done.rows], abs=1e-6)
    (tmp_path / "labelled.csv").write_text("a,b,same\np1/near.jpg,p1/far.jpg,1\np1/near.jpg,p2/far.jpg,0\n")
    for words in (("--store", tmp_path / "f.h5"), ()):
        scored = invoke("verify", "--pairs", tmp_path / "labelled.csv", "--workers", 1, *words)
        assert scored.code == 0 and scored.rows[0]["protocol"] == "csv" and scored.rows[0]["scored"] == 2, scored
    assert "neither" in invoke("verify").err
