"""Lists with named columns: the spellings that work, and what is wrong with a line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.artifacts.lists.pair_table import PairRow, column_of, read_pair_rows
from cosface_cli.errors import CosfaceError


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
    return path


PAIRS = (
    PairRow(left="a/1.jpg", right="a/2.jpg", same=True, fold=1),
    PairRow(left="a/1.jpg", right="b/1.jpg", same=False, fold=2),
)


@pytest.mark.parametrize(
    "text",
    (
        "left,right,same,fold\na/1.jpg,a/2.jpg,1,1\na/1.jpg,b/1.jpg,0,2\n",
        "\ufeffLeft;Right;Same;Fold\r\na/1.jpg;a/2.jpg;TRUE;1\r\na/1.jpg;b/1.jpg;False;2",
        "fold\tFile1\tfile_2\tlabel\n".replace("file_2", "file2")
        + "1\ta/1.jpg\ta/2.jpg\tyes\n2\ta/1.jpg\tb/1.jpg\t-1\n",
        "split number, first name, second name, is same\n1, a/1.jpg, a/2.jpg, 1\n\n2, a/1.jpg, b/1.jpg, 0\n",
        '{"left": "a/1.jpg", "right": "a/2.jpg", "same": true, "fold": 1}\n\n'
        '{"left": "a/1.jpg", "right": "b/1.jpg", "same": false, "fold": 2}\n',
    ),
    ids=("csv", "excel", "tsv", "ytf", "ndjson"),
)
def test_the_same_pairs_in_every_dress(tmp_path: Path, text: str):
    assert read_pair_rows(written(tmp_path, text)) == PAIRS


def test_scores_identities_and_columns_of_ones_own(tmp_path: Path):
    text = "img1,img2,cosine,identity1,identity2,Age group\nx,y,0.25,anna,bo,60+\n"
    (row,) = read_pair_rows(written(tmp_path, text))
    assert row == PairRow(
        left="x",
        right="y",
        same=None,
        fold=1,
        score=0.25,
        left_identity="anna",
        right_identity="bo",
        extra={"Age group": "60+"},
    )
    (bare,) = read_pair_rows(written(tmp_path, "score,same\n-1e-3,0\n"))
    assert (bare.left, bare.right, bare.score, bare.same) == ("", "", -1e-3, False)


def test_odd_names(tmp_path: Path):
    content = b'left,right,same\n"a, ""b"".jpg","new\nline.jpg",1\n' + b"\xff\xe5\x90\x8d.jpg, x.jpg,0\n"
    first, second = read_pair_rows(written(tmp_path, content))
    assert (first.left, first.right) == ('a, "b".jpg', "new\nline.jpg")
    assert (second.left, second.right) == ("\udcff名.jpg", "x.jpg")


def test_column_names():
    assert [column_of(name) for name in ("Is_Same", "FIRST NAME", "left-identity", "age")] == [
        "same", "left", "left_identity", None
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    (
        ("a.jpg,b.jpg,1\n", "the first line has neither columns for two sides nor one for a score"),
        ("", "the first line has neither columns"),
        ("left,right,same\n", "no pairs here"),
        ("left,right,a\nx,y,z\n", "the first line has two columns for 'left'"),
        ("left,right,same\nx,y,maybe\n", "line 2: same must be 1 or 0, got 'maybe'"),
        ("left,right,same\nx,y,1\nx,y\n", "line 3 has 2 fields, the first line 3"),
        ("left,right,fold\nx,y,one\n", "line 2: fold must be a whole number, got 'one'"),
        ("left,right,fold\nx,y,²\n", "fold must be a whole number, got"),
        ("left,right,fold\nx,y," + "9" * 5000 + "\n", "fold must be a whole number, got"),
        ("score,same\nnan,1\n", "line 2: score must be a finite number, got 'nan'"),
        ("score,same\ninf,1\n", "score must be a finite number, got"),
        ("score,same\n0.5.5,1\n", "score must be a finite number, got"),
        ("left,right\nx,\n", "line 2 has only one side"),
        ('left,right\n"x"y,z\n', "line 2 is not CSV"),
        ("left,right\n" + "x" * 200_000 + ",y\n", "is not CSV"),
        ('{"left": "x", "right": "y"}\n[1]\n', "line 2 is not a JSON object"),
        ('{"left": "x"}\n', "line 1 has neither two sides nor a score"),
        ("{" + "[" * 100_000 + "\n", "line 1 is not a JSON object"),
    ),
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str):
    with pytest.raises(CosfaceError) as caught:
        read_pair_rows(written(tmp_path, text))
    assert words in str(caught.value) and "pairs.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_and_unreadable(tmp_path: Path):
    with pytest.raises(CosfaceError, match="no such file"):
        read_pair_rows(tmp_path / "none.csv")
    with pytest.raises(CosfaceError, match="cannot be read"):
        read_pair_rows(tmp_path)


@pytest.mark.slow
@settings(deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=100).map(lambda t: ("left,right,same\n" + t).encode("utf-8", "replace")),
    )
)
def test_any_bytes_are_a_list_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = written(tmp_path_factory.mktemp("rows"), content)
    try:
        assert read_pair_rows(path)
    except CosfaceError as error:
        assert "\n" not in str(error)
