"""Tables of names: lazy, in their order, with the near miss and the pip extra in their errors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.registry import Row, Table, require_one_of, suggest

TABLE = Table(
    "number",
    Row("half", "fractions:Fraction", "a fraction"),
    Row("whole", "builtins:int", "an integer"),
    Row("absent", "no_such_module_anywhere:thing", "of an extra", extra="numbers"),
    Row("broken", "no_such_module_anywhere:thing", "of no extra"),
    Row("gone", "builtins:no_such_name", "renamed"),
)


def test_rows_by_name_in_their_order():
    assert TABLE.names == ["half", "whole", "absent", "broken", "gone"]
    assert [row.name for row in TABLE] == TABLE.names
    assert "half" in TABLE and "Half" not in TABLE and None not in TABLE
    assert TABLE.row("whole").summary == "an integer"
    assert TABLE.load("whole") is int


def test_nothing_is_imported_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "lazily_imported.py").write_text("thing = 17\n")
    monkeypatch.syspath_prepend(tmp_path)
    table = Table("thing", Row("lazy", "lazily_imported:thing", ""))
    assert "lazy" in table and table.row("lazy").name == "lazy" and "lazily_imported" not in sys.modules
    assert table.load("lazy") == 17
    del sys.modules["lazily_imported"]


def test_a_wrong_name_is_told_its_near_miss_or_all_choices():
    with pytest.raises(CosfaceError, match=r"^no number is called 'hlaf'; did you mean 'half'\?$"):
        TABLE.load("hlaf")
    with pytest.raises(CosfaceError, match=r"'xyz'; choose one of half, whole, absent, broken, gone$"):
        TABLE.row("xyz")


def test_a_missing_package_names_the_extra():
    with pytest.raises(CosfaceError) as caught:
        TABLE.load("absent")
    assert str(caught.value) == (
        "the number 'absent' needs the package 'no_such_module_anywhere'; pip install 'cosface[numbers]'"
    )


def test_our_own_mistakes_stay_bugs():
    with pytest.raises(ModuleNotFoundError):
        TABLE.load("broken")
    with pytest.raises(AttributeError):
        TABLE.load("gone")


def test_a_bug_inside_an_optional_engine_is_not_called_a_missing_extra(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """The engine's own import of a name that our package lost is no matter of pip."""
    (tmp_path / "an_engine.py").write_text("import cosface_cli.no_longer_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_longer_here"):
        Table("engine", Row("e", "an_engine:thing", "", extra="x")).load("e")


def test_suggest():
    assert suggest("mtcn", ["mtcnn", "yunet"]) == "did you mean 'mtcnn'?"
    assert suggest("", ["mtcnn", "yunet"]) == "choose one of mtcnn, yunet"


def test_one_of():
    require_one_of("sum", ("none", "sum"), "--flip")
    with pytest.raises(CosfaceError, match=r"^--flip 'summ' is not known; did you mean 'sum'\?$"):
        require_one_of("summ", iter(("none", "sum")), "--flip")
