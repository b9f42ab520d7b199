"""Eq. 6 and 7 as a table and a figure, against the paper's own numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from cosface_cli.errors import CosfaceError
from cosface_cli.paper import BoundsConfig
from cosface_cli.paper.figures.bounds_by_identities import bounds
from tests.train.conftest import Heard, contents


@pytest.mark.slow
def test_the_paper_s_numbers(tmp_path: Path, heard: Heard):
    report = bounds(BoundsConfig(out=tmp_path), heard)
    rows = {row["identities"]: row for row in report.rows}
    for probability, least in ((0.9, 11.46), (0.99, 13.86), (0.999, 16.17)):
        assert rows[10_575][f"s_bound_{probability:g}"] == pytest.approx(least, abs=0.005)
        assert rows[10_575][f"paper_s_bound_{probability:g}"] == least
        assert rows[8][f"paper_s_bound_{probability:g}"] is None
    assert rows[8]["m_bound_2d"] == pytest.approx(1 - math.sqrt(0.5), abs=1e-12)
    assert rows[8]["m_bound_2d"] == pytest.approx(0.293, abs=5e-4) and rows[8]["paper_m_bound_2d"] == 0.293
    assert rows[2]["m_bound"] == 2.0 and rows[100]["m_bound"] == 100 / 99 and not rows[100]["m_far_below"]
    assert rows[10_575]["m_far_below"]
    assert json.loads((tmp_path / "bounds.json").read_text())["rows"] == list(report.rows)
    assert "bounds.svg" in heard.notes


@pytest.mark.slow
def test_the_figure_is_drawn_and_the_same_each_time(tmp_path: Path):
    first, second = (bounds(BoundsConfig(out=tmp_path / name)) for name in ("a", "b"))
    assert contents(tmp_path / "a") == contents(tmp_path / "b") and len(first.files) == len(second.files) == 3
    with Image.open(tmp_path / "a" / "bounds.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert (pixels != 255).any(axis=2).mean() > 0.02
    texts = ElementTree.parse(tmp_path / "a" / "bounds.svg").getroot().iter("{http://www.w3.org/2000/svg}text")
    words = " ".join("".join(text.itertext()) for text in texts)
    assert "least s (Eq. 6)" in words and "largest m (Eq. 7)" in words and "far below this" in words


def test_one_dimension_or_identity_has_no_bound(tmp_path: Path):
    with pytest.raises(CosfaceError, match="--identities must be at least 2, got 1"):
        BoundsConfig(identities=(8, 1), out=tmp_path)
    with pytest.raises(CosfaceError, match="--embedding-size must be at least 2, got 1"):
        BoundsConfig(embedding_size=1, out=tmp_path)
    with pytest.raises(CosfaceError, match="--identities needs at least one number"):
        bounds(BoundsConfig(identities=(), out=tmp_path))
    assert not list(tmp_path.iterdir())


def test_in_two_dimensions_the_bound_is_exact(tmp_path: Path):
    (row,) = bounds(BoundsConfig(identities=(8,), embedding_size=2, out=tmp_path)).rows
    assert row["m_bound"] == row["m_bound_2d"] and not row["m_far_below"]
