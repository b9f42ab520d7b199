"""Figures by group, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta

from cosface_cli.errors import CosfaceError
from cosface_cli.verify.figures.protocol_scores import PairScores
from cosface_cli.verify.figures.subgroups import rates_by_group
from cosface_cli.verify.protocols.csv_pairs import CsvConfig
from cosface_cli.verify.stage import verify_protocol


def scores(values: list[float], same: list[bool]) -> PairScores:
    count = len(values)
    sides = np.arange(2 * count).reshape(2, count)
    names = tuple(map(str, range(2 * count)))
    return PairScores(
        scores=np.array(values),
        same=np.array(same),
        left=sides[0],
        right=sides[1],
        names=names,
        identities=("",) * 2 * count,
        fold=np.ones(count, np.int64),
    )


def test_one_threshold_for_all() -> None:
    """200 impostor pairs, .01 allows two: the lowest threshold with two above is .8, both of them of group x.

    So among x two of 50 pass, among y none of 50, across none of 100; of 10 genuine pairs of x 9 pass, of y 5 of 10.
    """
    values = [0.9, 0.8, *np.linspace(0.0, 0.4, 48), *np.linspace(0.0, 0.5, 50), *np.linspace(0.1, 0.6, 100)]
    left = ["x"] * 50 + ["y"] * 50 + ["x", "y"] * 50
    right = ["x"] * 50 + ["y"] * 50 + ["y", "x"] * 50
    same = [False] * 200
    values += [0.95] * 9 + [0.3] + [0.85] * 5 + [0.3] * 5
    left += ["x"] * 10 + ["y"] * 10
    right += ["x"] * 10 + ["y"] * 10
    same += [True] * 20
    rows = rates_by_group(scores(values, same), (np.array(left), np.array(right)), "error")
    at = {(row["left_group"], row["right_group"]): row for row in rows if row["at_far"] == 0.01}
    assert set(at) == {("x", "x"), ("y", "y"), ("x", "y")} and all(row["threshold"] == 0.8 for row in at.values())
    assert (at["x", "x"]["far"], at["x", "x"]["impostors"]) == (2 / 50, 50)
    assert (at["y", "y"]["far"], at["x", "y"]["far"], at["x", "y"]["impostors"]) == (0.0, 0.0, 100)
    assert (at["x", "x"]["tar"], at["y", "y"]["tar"], at["x", "y"]["tar"]) == (0.9, 0.5, None)
    assert at["x", "x"]["far_high"] == pytest.approx(beta.ppf(0.975, 3, 48))
    assert at["y", "y"]["tar_low"] == pytest.approx(beta.ppf(0.025, 5, 6))
    assert at["x", "y"]["genuine"] == 0 and at["x", "y"]["tar_low"] is None
    assert {row["at_far"] for row in rows} == {0.01}  # 200 pairs do not tell .001


def test_pairs_without_a_score() -> None:
    """A genuine one is not accepted, unless it is left out; an impostor pair is no pair."""
    values = [*np.linspace(0, 0.5, 100), np.nan, 0.9, np.nan]
    same = [False] * 101 + [True] * 2
    groups = (np.array(["x"] * 103), np.array(["x"] * 103))
    (row,) = rates_by_group(scores(values, same), groups, "error")
    assert (row["impostors"], row["genuine"], row["tar"]) == (100, 2, 0.5)
    (row,) = rates_by_group(scores(values, same), groups, "skip")
    assert (row["impostors"], row["genuine"], row["tar"]) == (100, 1, 1.0)


def listed(path: Path, head: str, sides: str) -> Path:
    rows = [f"a{n},b{n},{n % 2},{n / 300:.4f},{sides}" for n in range(300)]
    path.write_text("\n".join([f"left,right,same,score,{head}", *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("head", "sides", "kinds"),
    [
        ("left_race,right_race", "x,y", {("x", "y")}),
        ("Race1,Race2", "y,x", {("x", "y")}),  # in either order
        ("race", "x", {("x", "x")}),
    ],
)
def test_columns_of_a_list(head: str, sides: str, kinds: set, tmp_path: Path) -> None:
    report = verify_protocol(CsvConfig(source=listed(tmp_path / "l.csv", head, sides), groups="race"))
    assert {(row["left_group"], row["right_group"]) for row in report.groups} == kinds


def test_columns_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(CosfaceError, match="no column age, left_age or age1; other columns: race"):
        verify_protocol(CsvConfig(source=listed(tmp_path / "l.csv", "race", "x"), groups="age"))
    with pytest.raises(CosfaceError, match="pair 1 has no race"):
        verify_protocol(CsvConfig(source=listed(tmp_path / "l.csv", "race", " "), groups="race"))
