"""Names and corrections: they hold, they survive a rebuild and another run, and each is one step."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosface_cli.artifacts.index.people_file import FILE, face_key, read_people, write_people
from cosface_cli.errors import CosfaceError
from cosface_cli.index.people import ClusterConfig
from cosface_cli.index.people.names.edits import label, list_people, merge_people, person_row, split_person
from cosface_cli.index.people.names.names_csv import export_names, import_names
from cosface_cli.index.people.stage import cluster
from cosface_cli.outcomes import Outcome, Rejected
from tests.conftest import Cosface
from tests.index.made import index, people, row


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An index of ann (id 1), bo (2) and cy (3)."""
    made = index(tmp_path / "i", people({"ann": 4, "bo": 3, "cy": 2}))
    cluster(ClusterConfig(index=made))
    return made


def keys(person: str, *numbers: int) -> set[str]:
    return {face_key(row(person, number)) for number in numbers}


def faces_of(root: Path) -> dict[str, set[str]]:
    return {person.label: set(person.faces) for person in read_people(root).persons.values()}


def test_named_merged_split_and_grouped_again(root: Path) -> None:
    assert label(root, "1", "Ann").faces == read_people(root).persons[1].faces
    assert label(root, "Ann", "Ann Lee").id == 1
    label(root, "3", "Cy")
    assert merge_people(root, "2", ["Cy"]).name == "Cy", "the first one's id, and the name that there is"
    assert faces_of(root) == {"Ann Lee": keys("ann", 0, 1, 2, 3), "Cy": keys("bo", 0, 1, 2) | keys("cy", 0, 1)}
    old, new = split_person(root, "Cy", ["cy/0.jpg", "cy/1.jpg#1"], "Real Cy")
    assert (old.id, new.id, new.name) == (2, 4, "Real Cy")
    want = {"Ann Lee": keys("ann", 0, 1, 2, 3), "Cy": keys("bo", 0, 1, 2), "Real Cy": keys("cy", 0, 1)}
    assert faces_of(root) == want
    cluster(ClusterConfig(index=root))
    assert faces_of(root) == want
    index(root, people({"cy": 2, "bo": 3, "ann": 4, "new": 5}))
    assert faces_of(root) == want, "a rebuild, rows in another order"
    cluster(ClusterConfig(index=root))
    assert faces_of(root) == {**want, "5": keys("new", 0, 1, 2, 3, 4)}
    assert person_row(list_people(root)[0]) == {"cluster": 1, "name": "Ann Lee", "held": True, "faces": 4}


def test_what_cannot_be_done_changes_nothing(root: Path) -> None:
    label(root, "1", "Ann")
    before = (root / FILE).read_bytes()
    for action, words in [
        (lambda: label(root, "2", "Ann"), "merge .* 1 2"),
        (lambda: label(root, "Anm", "x"), "did you mean 'Ann'"),
        (lambda: label(root, "77", "x"), "no person '77'"),
        (lambda: label(root, "2", "77"), "only digits"),
        (lambda: label(root, "2", " "), "cannot be a name"),
        (lambda: label(root, "2", "a\nb"), "cannot be a name"),
        (lambda: merge_people(root, "1", ["Ann"]), "already one person"),
        (lambda: split_person(root, "1", ["bo/0.jpg"]), "Ann has no face in 'bo/0.jpg'"),
        (lambda: split_person(root, "1", ["ann/0.jpg#2"]), "no face"),
        (lambda: split_person(root, "1", [f"ann/{n}.jpg" for n in range(4)]), "all faces"),
        (lambda: split_person(root, "2", ["bo/0.jpg"], "Ann"), "already"),
    ]:
        with pytest.raises(CosfaceError, match=words):
            action()
    assert (root / FILE).read_bytes() == before


def test_a_table_goes_out_and_into_another_index(root: Path, tmp_path: Path) -> None:
    label(root, "1", 'Ann "A", Lee')
    label(root, "2", "人")
    assert export_names(root, tmp_path / "names.csv") == 9
    with (tmp_path / "names.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 9 and {line["source"] for line in lines if line["name"] == "人"} == {
        f"bo/{n}.jpg" for n in range(3)
    }
    other = index(tmp_path / "j", people({"bo": 3, "ann": 5, "dee": 2}))
    changed = import_names(other, tmp_path / "names.csv")
    assert {person.name: set(person.faces) for person in changed} == {
        'Ann "A", Lee': keys("ann", 0, 1, 2, 3),
        "人": keys("bo", 0, 1, 2),
    }
    cluster(ClusterConfig(index=other))
    assert faces_of(other)['Ann "A", Lee'] == keys("ann", 0, 1, 2, 3, 4), "the fifth photo came by itself"
    assert import_names(root, tmp_path / "names.csv")[0].id == 1 and export_names(root, tmp_path / "again.csv") == 9
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "names.csv").read_bytes()


def test_a_table_written_by_hand(root: Path, tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(
        "\ufeffname,source,face\nAnn,ann/0.jpg,\nAnn,ann/1.jpg,1\n,bo/0.jpg,\nBo,bo/9.jpg,\nAnn,cy/0.jpg,2\n", "utf-8"
    )
    told: list[Outcome] = []
    changed = import_names(root, table, told.append)
    assert [(person.name, set(person.faces)) for person in changed if person.name] == [("Ann", keys("ann", 0, 1))]
    rejected = [outcome.words for outcome in told if isinstance(outcome, Rejected)]
    assert [words.partition(": ")[0] for words in rejected] == [f"{table} line 5", f"{table} line 6"]
    assert faces_of(root)["1"] == keys("ann", 2, 3), "the others are left where they were"
    table.write_text("name,source\nBo,cy/0.jpg\nBo,cy/1.jpg\n")
    import_names(root, table)
    assert "3" not in faces_of(root) and faces_of(root)["Bo"] == keys("cy", 0, 1), "who lost all faces is gone"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "a column is missing"),
        (b"name\nx\n", "a column is missing"),
        (b"source,face\nx,1\n", "a column is missing"),
        (b"name,source\n12,a\n", "line 2: .* cannot be a name"),
        (b"name,source,face\nx,a,-1\n", "line 2: face must be a number"),
        (b"name,source,face\nx,a," + b"9" * 5000 + b"\n", "line 2"),
        (b'name,source\n"x,a\n', "not a CSV file"),
        (b"name,source\n" + b"x" * 200_000 + b",a\n", "not a CSV file"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "mine.csv"),
    ],
)
def test_a_table_that_is_none(root: Path, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "mine.csv").write_bytes(content)
    before = (root / FILE).read_bytes()
    with pytest.raises(CosfaceError, match=words):
        import_names(root, tmp_path / "mine.csv")
    assert (root / FILE).read_bytes() == before
    with pytest.raises(CosfaceError, match="cannot be read"):
        import_names(root, tmp_path / "none.csv")


@pytest.mark.slow
def test_killed_while_naming(root: Path) -> None:
    """The old file or the new one, and the next command works."""
    command = [
        sys.executable,
        "-c",
        "from cosface_cli.index.people.names.edits import label; import sys; from pathlib import Path\n"
        "print(flush=True)\nfor n in range(10**6): label(Path(sys.argv[1]), '1', f'Ann {n}')",
        str(root),
    ]
    for wait in range(8):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.read(1) == b"\n"
            time.sleep(0.013 * wait)
            os.kill(child.pid, signal.SIGKILL)
        found = read_people(root).persons
        assert found[1].label == "1" or found[1].label.startswith("Ann ")
        assert [len(person.faces) for person in found.values()] == [4, 3, 2]
    assert label(root, "1", "Ann").name == "Ann" and not list(root.glob(".people*"))


@pytest.mark.slow
def test_at_the_terminal(invoke: Cosface, root: Path, tmp_path: Path) -> None:
    done = invoke("index", "cluster", root)
    assert done.code == 0 and len(done.rows) == 9 and "9 faces: 3 groups (0 new), 0 faces in no group" in done.err
    named = invoke("index", "label", root, 2, "Bo")
    assert named.code == 0 and named.rows == [{"cluster": 2, "name": "Bo", "held": True, "faces": 3}]
    assert invoke("index", "people", "rename", root, "Bo", "Bob").rows[0]["name"] == "Bob"
    assert invoke("index", "people", "split", root, "Bob", "bo/0.jpg").rows[1]["cluster"] == 4
    assert invoke("index", "people", "merge", root, 4, "Bob").rows == [
        {"cluster": 4, "name": "Bob", "held": True, "faces": 3}
    ]
    assert invoke("index", "people", "export", root, tmp_path / "n.csv").code == 0
    (tmp_path / "n.csv").write_text((tmp_path / "n.csv").read_text() + "9,Zed,nowhere.jpg,1,\n")
    part = invoke("index", "people", "import", root, tmp_path / "n.csv")
    assert part.code == 3 and "nowhere.jpg" in part.err
    assert [one["name"] for one in invoke("index", "people", "list", root).rows] == [None, None, "Bob"]
    scored = invoke("index", "cluster", root, "--evaluate")
    assert scored.code == 0 and scored.rows[0]["pair_f"] == 1.0 and scored.rows[0]["nmi"] == pytest.approx(1)
    for words, part_of in [
        (("index", "label", root, "7", "x"), "no person '7'"),
        (("index", "people", "list", tmp_path), "no index here"),
        (("index", "cluster", root, "--hard"), "--links"),
        (("index", "cluster", root, "--evaluate", "--html", tmp_path / "p.html"), "writes nothing"),
        (("index", "cluster", tmp_path / "none"), "no index here"),
    ]:
        failed = invoke(*words)
        assert failed.code == 2 and failed.out == "" and len(failed.err.splitlines()) == 1 and part_of in failed.err


def test_a_full_disk_leaves_the_names(small_disk: Path, tmp_path: Path) -> None:
    whole = index(tmp_path / "i", people({"ann": 3, "bo": 3}))
    cluster(ClusterConfig(index=whole))
    root = small_disk / "i"  # of 64 KiB: what naming needs of an index
    root.mkdir()
    for name in ("index.json", FILE):
        shutil.copy(whole / name, root / name)
    label(root, "1", "Ann")
    before = (root / FILE).read_bytes()
    free = os.statvfs(small_disk)
    (small_disk / "filler").write_bytes(b"x" * (free.f_bavail * free.f_frsize))
    with pytest.raises(CosfaceError, match="disk is full"):
        label(root, "2", "Bo")
    assert (root / FILE).read_bytes() == before
    (small_disk / "filler").unlink()
    write_people(root, read_people(root))
    assert label(root, "2", "Bo").name == "Bo"
