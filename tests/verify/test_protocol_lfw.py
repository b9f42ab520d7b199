"""LFW's protocol on vectors whose scores are known: folds, View 1, people.txt, and what is missing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.verify.protocols.lfw import LfwConfig
from cosface_cli.verify.stage import run_protocol, verify_protocol
from tests.verify.conftest import MakeStore, at_angle, collect

# person, photo: degrees. Genuine pairs of fold 1: cos 10 and cos 20; of fold 2: cos 30 and cos 40
PEOPLE = {
    "A/A_0001.jpg": 0, "A/A_0002.jpg": 10, "B/B_0001.jpg": 100, "B/B_0002.jpg": 120,
    "C/C_0001.jpg": 200, "C/C_0002.jpg": 230, "D/D_0001.jpg": 300, "D/D_0002.jpg": 340,
}  # fmt: skip
TWO_FOLDS = "2\t2\nA\t1\t2\nB\t1\t2\nA\t1\tB\t1\nA\t2\tB\t2\nC\t1\t2\nD\t1\t2\nC\t1\tD\t1\nC\t2\tD\t1\n"


@pytest.fixture
def faces(make_store: MakeStore) -> Path:
    return make_store({name: at_angle(degrees) for name, degrees in PEOPLE.items()})


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_text(TWO_FOLDS)
    return path


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def test_folds_by_hand(faces: Path, pairs: Path):
    """Scores: fold 1 cos 10, cos 20 | cos 100, cos 110; fold 2 cos 30, cos 40 | cos 100, cos 70."""
    notes: list[str] = []
    scored, found = run_protocol(LfwConfig(source=faces, pairs=pairs), collect(notes))
    assert scored.pairs is not None
    expected = [cos(d) for d in (10, 20, 100, 110, 30, 40, 100, 70)]
    assert scored.pairs.scores == pytest.approx(expected, abs=1e-6)
    assert scored.pairs.identities == ("A", "A", "B", "B", "C", "C", "D", "D")
    # the other fold's middle: of fold 2 between cos 40 and cos 70, of fold 1 between cos 20 and cos 100
    assert found.thresholds == pytest.approx(((cos(40) + cos(70)) / 2, (cos(20) + cos(100)) / 2), abs=1e-6)
    assert found.fold_accuracy == (1.0, 1.0) and found.accuracy == 1.0 and found.accuracy_se == 0.0
    assert (found.pairs, found.scored, found.genuine, found.impostors, found.folds) == (8, 8, 4, 4, 2)
    assert found.eer is not None and found.eer["eer"] == 0.0
    rates = {rate["far"]: rate for rate in found.tar_at_far}
    assert set(rates) == {1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6}
    assert rates[0.1]["tar"] is None and rates[0.1]["impostors_needed"] == 10
    assert any("not the standard 6000 in 10" in note for note in notes)
    assert (found.model, found.model_id, found.flip) == ("net", "net-id", "none")


def test_the_list_may_lie_in_the_source(faces: Path, pairs: Path, tmp_path: Path):
    with pytest.raises(CosfaceError, match="no such file or folder"):
        verify_protocol(LfwConfig(source=tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CosfaceError, match=r"empty: no pairs\.txt in this folder"):
        verify_protocol(LfwConfig(source=tmp_path / "empty"))
    with pytest.raises(CosfaceError, match=r"no pairs\.txt in this folder"):
        verify_protocol(LfwConfig(source=faces))


def test_view_1_chooses_its_threshold_on_the_development_list(faces: Path, tmp_path: Path):
    (tmp_path / "pairsDevTrain.txt").write_text("2\nC\t1\t2\nD\t1\t2\nC\t1\tD\t1\nC\t2\tD\t1\n")
    test = tmp_path / "pairsDevTest.txt"
    test.write_text("2\nA\t1\t2\nB\t1\t2\nA\t1\tB\t1\nA\t2\tB\t1\n")
    found = verify_protocol(LfwConfig(source=faces, pairs=test))
    assert found.thresholds == pytest.approx(((cos(40) + cos(70)) / 2,), abs=1e-6)
    assert (found.accuracy, found.accuracy_se, found.fold_accuracy, found.folds) == (1.0, None, (), 0)
    assert (found.pairs, found.details["view"]) == (4, 1)
    assert set(found.details["lists"]) == {"pairsDevTest.txt", "pairsDevTrain.txt"}
    # named, it is the same; on its own pairs as well, the test list moves nothing
    named = verify_protocol(LfwConfig(source=faces, pairs=test, dev_pairs=tmp_path / "pairsDevTrain.txt"))
    assert named.thresholds == found.thresholds
    (tmp_path / "pairsDevTrain.txt").unlink()
    with pytest.raises(CosfaceError, match=r"one fold leaves nothing.*--dev-pairs pairsDevTrain"):
        verify_protocol(LfwConfig(source=faces, pairs=test))


def test_all_pairs_of_the_people_of_each_fold(faces: Path, tmp_path: Path):
    people = tmp_path / "people.txt"
    people.write_text("2\n2\nA\t2\nB\t2\n2\nC\t2\nD\t2\n")
    scored, found = run_protocol(LfwConfig(source=faces, pairs=people))
    counts = {"people": 2, "photos": 4, "genuine": 2, "impostors": 4}
    assert found.details["unrestricted"] == [{"fold": 1, **counts}, {"fold": 2, **counts}]
    assert (found.pairs, found.genuine, found.impostors, found.accuracy) == (12, 4, 8, None)
    assert scored.pairs is not None
    angles = list(PEOPLE.values())
    brute = [
        (cos(angles[i] - angles[j]), i // 2 == j // 2)
        for start in (0, 4) for i in range(start, start + 4) for j in range(i + 1, start + 4)
    ]  # fmt: skip
    assert scored.pairs.scores == pytest.approx([score for score, _ in brute], abs=1e-6)
    assert scored.pairs.same.tolist() == [same for _, same in brute]
    # View 1 has one number, of people
    people.write_text("2\nA\t2\nB\t2\n")
    assert verify_protocol(LfwConfig(source=faces, pairs=people)).pairs == 6


def test_missing_photos_are_errors_or_left_out(make_store: MakeStore, pairs: Path):
    kept = {name: at_angle(d) for name, d in PEOPLE.items() if name not in ("B/B_0002.jpg", "D/D_0001.jpg")}
    store = make_store(kept)
    found = verify_protocol(LfwConfig(source=store, pairs=pairs))
    assert set(found.missing) == {"B/B_0002", "D/D_0001"}
    assert (found.pairs, found.scored) == (8, 3)
    # of fold 1 two pairs of four are scored, rightly; of fold 2 one of four
    assert found.fold_accuracy == (0.5, 0.25) and found.accuracy == 0.375
    # both lost genuine pairs stay, rejected by every threshold; the three lost impostor pairs are no impostors
    assert (found.genuine, found.impostors) == (4, 1)
    assert found.eer is not None and found.eer["frr"] == 0.5
    skipped = verify_protocol(LfwConfig(source=store, pairs=pairs, missing="skip"))
    assert skipped.accuracy == 1.0 and (skipped.genuine, skipped.impostors) == (2, 1)
    with pytest.raises(CosfaceError, match="did you mean 'skip'"):
        verify_protocol(LfwConfig(source=store, pairs=pairs, missing="skipp"))


@pytest.mark.parametrize("people", ["AB", "A"])
def test_skip_with_a_fold_without_scores(make_store: MakeStore, pairs: Path, people: str):
    """Of fold 2, or of both folds, no pair is left."""
    names = [name for name in PEOPLE if name[0] in people]
    store = make_store({name: at_angle(PEOPLE[name]) for name in (names if people == "AB" else names[:1])})
    with pytest.raises(CosfaceError, match="a fold, or all others, have no pair with two faces"):
        verify_protocol(LfwConfig(source=store, pairs=pairs, missing="skip"))


def test_photos_that_do_not_exist_count_as_missing(make_store: MakeStore, pairs: Path):
    with pytest.raises(CosfaceError, match=r"none of the photos of .* exist here, such as A/A_0001"):
        verify_protocol(LfwConfig(source=make_store({"Z/Z_0001.jpg": at_angle(0)}), pairs=pairs))


def test_a_store_of_another_model_or_flip_is_refused(faces: Path, pairs: Path):
    with pytest.raises(ModelMismatch, match="made with net"):
        verify_protocol(LfwConfig(source=faces, pairs=pairs, models=("dlib-int8",)))
    with pytest.raises(ModelMismatch, match="made with --flip none, expected --flip sum"):
        verify_protocol(LfwConfig(source=faces, pairs=pairs, flip="sum"))
    with pytest.raises(CosfaceError, match="--template has no effect on a store"):
        verify_protocol(LfwConfig(source=faces, pairs=pairs, crops_template="dlib"))
    with pytest.raises(CosfaceError, match="--min-face has no effect on a store"):
        verify_protocol(LfwConfig(source=faces, pairs=pairs, min_face=40))


def test_the_same_faces_have_the_same_hash(make_store: MakeStore, pairs: Path):
    vectors = {name: at_angle(d) for name, d in PEOPLE.items()}
    one = verify_protocol(LfwConfig(source=make_store(vectors, "one.h5"), pairs=pairs))
    two = verify_protocol(LfwConfig(source=make_store(vectors, "two.h5"), pairs=pairs))
    other = verify_protocol(LfwConfig(source=make_store(dict(reversed(vectors.items())), "three.h5"), pairs=pairs))
    assert one.data == two.data != other.data
    assert one.list_hash == two.list_hash


def test_equal_scores_are_noted(make_store: MakeStore, pairs: Path):
    notes: list[str] = []
    store = make_store(dict.fromkeys(PEOPLE, at_angle(0)))
    verify_protocol(LfwConfig(source=store, pairs=pairs), collect(notes))
    assert any("all pairs have the same score" in note for note in notes)


def test_a_row_that_is_no_unit_vector_is_missing(make_store: MakeStore, pairs: Path):
    vectors = {name: at_angle(d) for name, d in PEOPLE.items()}
    vectors["A/A_0001.jpg"] = np.array([np.nan, 0.0])
    vectors["C/C_0001.jpg"] = np.array([3.0, 4.0])
    found = verify_protocol(LfwConfig(source=make_store(vectors), pairs=pairs))
    assert set(found.missing) == {"A/A_0001", "C/C_0001"}
