"""Lists of any kind: scores that are there already, and photos by name; ties, few impostors, what is not said."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.verify.protocols.csv_pairs import CsvConfig
from cosface_cli.verify.stage import run_protocol, verify_protocol
from tests.verify.conftest import MakeStore, at_angle, collect


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_scores_by_hand_with_ties(tmp_path: Path):
    """Ten impostors, three tied at .8; four genuine: at FAR .1 one may pass."""
    impostors = [0.9, 0.8, 0.8, 0.8, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    rows = [f"{s},0" for s in impostors] + [f"{s},1" for s in (0.95, 0.85, 0.8, 0.05)]
    found = verify_protocol(CsvConfig(source=written(tmp_path / "ties.csv", "score,same\n" + "\n".join(rows))))
    first, second = found.tar_at_far[:2]
    assert (first["far"], first["tar"], first["threshold"], first["achieved_far"]) == (0.1, 0.5, 0.85, 0.1)
    assert (second["far"], second["tar"], second["impostors_needed"]) == (0.01, None, 100)
    assert (found.protocol, found.accuracy, found.folds, found.genuine, found.impostors) == ("csv", None, 0, 4, 10)
    assert first["bootstrap_low"] is None  # nobody says who they are


def test_few_impostors_resolve_little(tmp_path: Path):
    text = "score,label\n0.1,0\n0.2,0\n0.3,0\n0.9,1\n"
    found = verify_protocol(CsvConfig(source=written(tmp_path / "few.csv", text)))
    needed = {rate["far"]: (rate["tar"], rate["impostors_needed"], rate["impostors"]) for rate in found.tar_at_far}
    assert needed == {10.0**-k: (None, 10**k, 3) for k in range(1, 7)}


def test_folds_and_people_of_the_list_are_used(make_store: MakeStore, tmp_path: Path):
    store = make_store(
        {"a/1.jpg": at_angle(0), "a/2.jpg": at_angle(10), "b/1.jpg": at_angle(90), "b/2.jpg": at_angle(110)}
    )
    text = "left,right,same,fold\na/1.jpg,a/2.jpg,1,3\na/1,b/1,0,3\nb/1.png,b/2.png,1,7\na/2.jpg,b/2.jpg,0,7\n"
    scored, found = run_protocol(CsvConfig(source=store, pairs=written(tmp_path / "p.csv", text)))
    assert (found.folds, found.fold_accuracy, found.missing) == (2, (1.0, 1.0), ())
    assert scored.pairs is not None and scored.pairs.people() is not None  # the folders agree with every pair
    other = text.replace("a/1,b/1,0", "a/1,b/1,1")
    scored, _ = run_protocol(CsvConfig(source=store, pairs=written(tmp_path / "p.csv", other)))
    assert scored.pairs is not None and scored.pairs.people() is None  # here they do not
    named = "left,right,same,identity1,identity2\na/1.jpg,a/2.jpg,1,x,x\na/1.jpg,b/1.jpg,0,x,y\n"
    scored, found = run_protocol(CsvConfig(source=store, pairs=written(tmp_path / "p.csv", named)))
    assert scored.pairs is not None and scored.pairs.identities == ("x", "x", "y") and found.accuracy is None


def test_lists_that_lack_a_column_are_errors(make_store: MakeStore, tmp_path: Path):
    store = make_store({"a/1.jpg": at_angle(0), "b/1.jpg": at_angle(90)})

    def run(text: str) -> None:
        verify_protocol(CsvConfig(source=store, pairs=written(tmp_path / "p.csv", text)))

    with pytest.raises(CosfaceError, match="not every row has a label"):
        run("left,right\na/1.jpg,b/1.jpg\n")
    with pytest.raises(CosfaceError, match="not every row names two photos"):
        run("score,same\n0.1,1\n")
    with pytest.raises(CosfaceError, match=r"a/1\.jpg is both 'x' and 'y'"):
        run("left,right,same,id1,id2\na/1.jpg,b/1.jpg,0,x,z\na/1.jpg,b/1.jpg,0,y,z\n")
    scores = written(tmp_path / "scores.csv", "score,same\n0.1,0\n0.9,1\n")
    with pytest.raises(CosfaceError, match="--flip has no effect on scores that are in the list"):
        verify_protocol(CsvConfig(source=scores, flip="sum"))


def test_scores_of_a_list_are_left_aside_where_faces_are_given(make_store: MakeStore, tmp_path: Path):
    store = make_store({"a/1.jpg": at_angle(0), "a/2.jpg": at_angle(60), "b/1.jpg": at_angle(90)})
    listed = written(tmp_path / "p.csv", "left,right,same,score\na/1.jpg,a/2.jpg,1,9\na/1.jpg,b/1.jpg,0,9\n")
    notes: list[str] = []
    scored, _ = run_protocol(CsvConfig(source=store, pairs=listed), collect(notes))
    assert scored.pairs is not None and scored.pairs.scores == pytest.approx([0.5, 0.0], abs=1e-6)
    assert any("its scores are not used" in note for note in notes)


def test_one_kind_of_pair_alone_gives_no_rates(tmp_path: Path):
    found = verify_protocol(CsvConfig(source=written(tmp_path / "s.csv", "score,same,fold\n0.1,0,1\n0.2,0,2\n")))
    assert (found.eer, found.tar_at_far, found.accuracy) == (
        None,
        (),
        0.5,
    )  # the second at the other's threshold is wrong


def test_scores_that_were_written_give_the_same_figures(make_store: MakeStore, tmp_path: Path):
    angles = {"a/1.jpg": 0, "a/2, b.jpg": 31, "b/1.jpg": 95, "b/2.jpg": 120, "c/\udcff.jpg": 200, "c/2.jpg": 333}
    store = make_store({name: at_angle(degrees) for name, degrees in angles.items()})
    names = list(angles)
    lines = [
        f'"{one}","{other}",{int(one[0] == other[0])},{1 + (i + j) % 3}'
        for i, one in enumerate(names) for j, other in enumerate(names) if i < j
    ]  # fmt: skip
    lines.append("a/1.jpg,none.jpg,0,2")
    listed = tmp_path / "p.csv"
    listed.write_bytes(("left,right,same,fold\n" + "\n".join(lines) + "\n").encode("utf-8", "surrogateescape"))
    out = tmp_path / "scores.csv"
    first = verify_protocol(CsvConfig(source=store, pairs=listed, scores=out))
    again = verify_protocol(CsvConfig(source=out))
    for field in ("pairs", "scored", "accuracy", "fold_accuracy", "thresholds", "eer", "tar_at_far", "genuine"):
        assert getattr(again, field) == getattr(first, field), field
    assert first.missing == ("none.jpg",) and again.scored == 15
