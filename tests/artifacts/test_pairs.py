"""LFW's lists of pairs, and lists that do not fit what their first line says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosface_cli.artifacts.lists.lfw_lists import Pair, PersonPhotos, is_people_list, read_pairs, read_people
from cosface_cli.errors import CosfaceError

TWO_FOLDS = (
    "2\t1\nAbel_Pacheco\t1\t4\nAbdel_Madi_Shabneh\t1\tDean_Barker\t1\nZico\t1\t12\nZico\t3\tAbel_Pacheco\t10001\n"
)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "pairs.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_folds_of_the_header(tmp_path: Path):
    found = read_pairs(written(tmp_path, TWO_FOLDS))
    assert (found.folds, found.per_fold) == (2, 2)
    assert found.pairs == (
        Pair("Abel_Pacheco/Abel_Pacheco_0001", "Abel_Pacheco/Abel_Pacheco_0004", True, 1),
        Pair("Abdel_Madi_Shabneh/Abdel_Madi_Shabneh_0001", "Dean_Barker/Dean_Barker_0001", False, 1),
        Pair("Zico/Zico_0001", "Zico/Zico_0012", True, 2),
        Pair("Zico/Zico_0003", "Abel_Pacheco/Abel_Pacheco_10001", False, 2),
    )


def test_view_1_has_one_number(tmp_path: Path):
    found = read_pairs(written(tmp_path, "2\nA\t1\t2\nB\t1\t2\nA\t1\tB\t1\nB\t2\tA\t2\n"))
    assert (found.folds, found.per_fold) == (1, 4)
    assert [pair.same for pair in found.pairs] == [True, True, False, False]
    assert {pair.fold for pair in found.pairs} == {1}


@pytest.mark.parametrize(
    "text",
    (
        TWO_FOLDS.replace("\n", "\r\n"),
        "\ufeff" + TWO_FOLDS,
        TWO_FOLDS.rstrip("\n"),
        TWO_FOLDS + "\n\n  \n",
        TWO_FOLDS.replace("\t", "  "),
        TWO_FOLDS.replace("Zico\t1\t12\n", "\nZico\t1\t12\n"),
    ),
    ids=("windows", "byte order mark", "no last newline", "blank lines", "blanks", "blank inside"),
)
def test_the_same_list_in_other_clothes(tmp_path: Path, text: str):
    assert read_pairs(written(tmp_path, text)) == read_pairs(written(tmp_path, TWO_FOLDS))


def test_names_with_blanks_where_tabs_part_them_and_odd_bytes(tmp_path: Path):
    path = written(tmp_path, b"1\t1\nJos\xe9 da Silva\t1\t2\n\xe5\x90\x8d\x85\x1cx\t1\tB\t2\n")
    first, second = read_pairs(path).pairs
    assert first.left == "Jos\udce9 da Silva/Jos\udce9 da Silva_0001"
    assert second.left.startswith("名\udc85\x1cx/")


def test_counts_that_do_not_fit_are_both_named(tmp_path: Path):
    """The header of the standard list above a list of six folds."""
    body = TWO_FOLDS.split("\n", 1)[1]
    with pytest.raises(CosfaceError, match=r"10 folds of 300 \+ 300 pairs, 6000 in all, but 4 follow"):
        read_pairs(written(tmp_path, "10\t300\n" + body))
    with pytest.raises(CosfaceError, match=r"1 folds of 1 \+ 1 pairs, 2 in all, but 4 follow"):
        read_pairs(written(tmp_path, "1\t1\n" + body))
    with pytest.raises(CosfaceError, match="but 0 follow"):
        read_pairs(written(tmp_path, "2\t1\n"))
    with pytest.raises(CosfaceError, match="but 0 follow"):
        read_pairs(written(tmp_path, "0\t0\n"))


@pytest.mark.parametrize(
    "first",
    ("", "two\tone", "2\t1\t3\t1", "2.5\t1", "-2\t1", "²\t1", "٢\t١", "9" * 5000, "Abel_Pacheco\t1\t4"),
    ids=range(9),
)
def test_a_first_line_that_is_no_header(tmp_path: Path, first: str):
    with pytest.raises(CosfaceError, match="the first line is not"):
        read_pairs(written(tmp_path, first + "\nA\t1\t2\nA\t1\tB\t2\n"))


@pytest.mark.parametrize(
    ("number", "line"),
    (
        (2, "Abel_Pacheco\t1"),
        (2, "Abel_Pacheco\t1\tDean_Barker\t4"),  # impostors where genuine pairs stand
        (3, "Abdel_Madi_Shabneh\t1\t4"),
        (4, "Zico\tone\t12"),
        (4, "Zico\t²\t12"),
        (4, "Zico\t" + "1" * 5000 + "\t12"),
        (5, "Zico\t-3\tAbel_Pacheco\t1"),
        (5, "Zico\t3\tAbel_Pacheco\t1\t1"),
    ),
    ids=range(8),
)
def test_a_bad_line_is_named(tmp_path: Path, number: int, line: str):
    lines = TWO_FOLDS.split("\n")
    lines[number - 1] = line
    with pytest.raises(CosfaceError, match=rf"pairs\.txt: line {number} should be an? (genuine|impostor) pair, `name"):
        read_pairs(written(tmp_path, "\n".join(lines)))


def test_missing_and_unreadable(tmp_path: Path):
    with pytest.raises(CosfaceError, match="no such file; give a list of pairs"):
        read_pairs(tmp_path / "none.txt")
    with pytest.raises(CosfaceError, match="cannot be read"):
        read_pairs(tmp_path)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_one_line(tmp_path_factory: pytest.TempPathFactory, content: bytes):
    path = written(tmp_path_factory.mktemp("pairs"), content)
    try:
        found = read_pairs(path)
    except CosfaceError:
        return
    assert len(found.pairs) == found.folds * found.per_fold


def test_lfw_s_own_list(shared: Path):
    found = read_pairs(shared / "data" / "lfw" / "pairs.txt")
    assert (found.folds, found.per_fold, len(found.pairs)) == (6, 600, 3600)
    assert sum(pair.same for pair in found.pairs) == 1800
    assert {pair.fold for pair in found.pairs} == set(range(1, 7))


def test_lists_with_another_number_of_impostors(tmp_path: Path):
    found = read_pairs(written(tmp_path, "2\t1\t2\nA\t1\t2\nA\t1\tB\t1\nA\t2\tB\t2\nB\t1\t2\nA\t1\tB\t1\nA\t2\tB\t1\n"))
    assert (found.folds, found.per_fold) == (2, 3)
    assert [(pair.same, pair.fold) for pair in found.pairs] == [
        (True, 1), (False, 1), (False, 1), (True, 2), (False, 2), (False, 2)
    ]  # fmt: skip
    with pytest.raises(CosfaceError, match=r"2 folds of 1 \+ 2 pairs, 6 in all, but 1 follow"):
        read_pairs(written(tmp_path, "2\t1\t2\nA\t1\t2\n"))


def test_people_of_folds_and_of_view_1(tmp_path: Path):
    two = written(tmp_path, "2\n1\nAbel Pacheco\t2\n2\nZico\t3\nB\t1\n")
    assert is_people_list(two) and not is_people_list(written(tmp_path, TWO_FOLDS))
    assert read_people(written(tmp_path, "2\n1\nAbel Pacheco\t2\n2\nZico\t3\nB\t1\n")) == (
        PersonPhotos("Abel Pacheco", 2, 1), PersonPhotos("Zico", 3, 2), PersonPhotos("B", 1, 2)
    )  # fmt: skip
    assert PersonPhotos("Zico", 2, 1).names == ("Zico/Zico_0001", "Zico/Zico_0002")
    assert read_people(written(tmp_path, "2\nA\t1\nB\t12\n")) == (PersonPhotos("A", 1, 1), PersonPhotos("B", 12, 1))


@pytest.mark.parametrize(
    ("text", "words"),
    (
        ("", "the first line is not a number"),
        ("A\t2\n", "the first line is not a number"),
        ("2\n1\nA\t2\n", "line 4 should be the number of people in fold 2"),
        ("2\n1\nA\t2\n1\n", "the counts add up to 5 lines, but there are 4"),
        ("1\nA\t2\nB\t1\n", "the counts add up to 2 lines, but there are 3"),
        ("3\nA\t2\nB\t1\n", "the counts add up to 4 lines, but there are 3"),
        ("2\nA\t2\nB\tone\n", "line 3 should be `name, photos`"),
        ("1\n2\nA\t2\nB\t1\tC\n", "line 4 should be `name, photos`"),
    ),
)
def test_people_that_do_not_fit(tmp_path: Path, text: str, words: str):
    with pytest.raises(CosfaceError, match=words):
        read_people(written(tmp_path, text))
