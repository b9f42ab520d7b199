"""Decision boundaries in closed form, by hand, and in the losses' own logits."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.paper import BoundaryConfig
from cosface_cli.paper.figures.fig_boundary import boundary, fig_boundary, logit_difference, rules, width

SOFTMAX, NSL, A_SOFTMAX, LMCL = range(4)


@pytest.mark.parametrize(
    ("which", "theta_2", "theta_1"),
    [
        (SOFTMAX, 60, math.degrees(math.acos(0.25))),  # 2 cos_1 = cos 60
        (NSL, 60, 60),
        (A_SOFTMAX, 60, 15),  # theta_2 / 4
        (A_SOFTMAX, 180, 45),
        (LMCL, 60, math.degrees(math.acos(0.85))),  # cos 60 + 0.35
        (LMCL, 120, math.degrees(math.acos(-0.15))),
    ],
)
def test_angles_worked_out_by_hand(which: int, theta_2: float, theta_1: float):
    rule = rules(0.35, 4, 2.0)[which]
    cos_2, cos_1 = np.array([math.cos(math.radians(theta_2))]), math.cos(math.radians(theta_1))
    assert rule.closed_form(cos_2)[0] == pytest.approx(cos_1, abs=1e-12)
    assert boundary(rule, cos_2)[0] == pytest.approx(cos_1, abs=1e-7)  # at 180 degrees the logit is flat


def test_where_no_feature_reaches_the_boundary_there_is_none():
    lmcl = rules(0.35, 4, 2.0)[LMCL]
    assert np.isnan(boundary(lmcl, np.array([0.66])))[0] and np.isnan(lmcl.closed_form(np.array([0.66])))[0]
    assert boundary(lmcl, np.array([0.64]))[0] == pytest.approx(0.99)
    assert math.isnan(width(lmcl, 0.9))  # cos_1 would have to be 1.075


def test_widths():
    softmax, nsl, a_softmax, lmcl = rules(0.35, 4, 2.0)
    assert width(lmcl, 0.3) == pytest.approx(math.sqrt(2) * 0.35, abs=1e-9)  # the paper's, Figure 2
    assert width(lmcl, 0.8) == pytest.approx(math.sqrt(2) * 0.35, abs=1e-9)
    assert width(nsl, 0.5) == pytest.approx(0, abs=1e-9)
    # 2 (c + d/2) = c - d/2 at c = 0.5: d = -1/3
    assert width(softmax, 0.5) == pytest.approx(-math.sqrt(2) / 3, abs=1e-9)
    d = width(a_softmax, 0.5) / math.sqrt(2)
    assert 4 * math.acos(0.5 + d / 2) == pytest.approx(math.acos(0.5 - d / 2), abs=1e-9)
    narrowing = [width(a_softmax, c) for c in (0.5, 0.8, 0.99, 0.9999)]  # vanishes at an angle of 0
    assert narrowing == sorted(narrowing, reverse=True) and narrowing[-1] < 3e-4


def test_the_logits_are_the_loss_s_own():
    lmcl = rules(0.35, 4, 2.0)[LMCL]
    found = logit_difference(lmcl, np.array([0.9, -0.2]), np.array([0.1, 0.5]))
    assert found.tolist() == pytest.approx([64 * (0.9 - 0.35 - 0.1), 64 * (-0.2 - 0.35 - 0.5)], abs=1e-9)
    assert boundary(replace(lmcl, options={"m": 0.3}), np.array([0.5]))[0] == pytest.approx(0.8)


@pytest.mark.slow
def test_the_figure(tmp_path: Path):
    report = fig_boundary(BoundaryConfig(out=tmp_path))
    assert [row["loss"] for row in report.rows] == ["Softmax", "NSL", "A-Softmax", "LMCL"]
    assert max(row["largest_difference"] for row in report.rows) < 1e-7
    found = json.loads((tmp_path / "fig-boundary.json").read_text())
    assert len(found["boundaries_cos2_cos1"]["NSL"]) == 201
    assert all((tmp_path / f"fig-boundary.{kind}").stat().st_size > 5_000 for kind in ("png", "svg"))


@pytest.mark.parametrize("wrong", [{"m": 1.0}, {"m": -0.1}, {"factor": 0}, {"ratio": 0.5}, {"ratio": math.nan}])
def test_what_is_no_margin_is_refused(wrong: dict[str, float], tmp_path: Path):
    with pytest.raises(CosfaceError, match="must be"):
        fig_boundary(BoundaryConfig(out=tmp_path, **wrong))
