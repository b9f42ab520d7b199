"""cosface index identify, on photos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosface_cli.embed import EmbedConfig
from cosface_cli.embed.stage import embed
from cosface_cli.index import BuildConfig
from cosface_cli.index.people import IdentifyConfig, IdentifyReport
from cosface_cli.index.people.stage import identify
from cosface_cli.index.stage import build
from cosface_cli.outcomes import Done, Outcome, Rejected

pytestmark = pytest.mark.slow


def test_photos_of_people(people: Path, tmp_path: Path) -> None:
    """Photos with several faces, and without any."""
    embed(EmbedConfig(source=str(people), store=tmp_path / "f.h5", workers=1))
    build(BuildConfig(stores=(tmp_path / "f.h5",), index=tmp_path / "i"))
    told: list[Outcome] = []
    config = IdentifyConfig(
        index=tmp_path / "i", probes=(str(people / "person1"), str(people / "masks")), min_cos=0.93, workers=1
    )
    report = identify(config, told.append)
    assert isinstance(report, IdentifyReport) and (report.searches, report.known, report.rejected) == (3, 3, 4)
    assert {row["match"] for o in told if isinstance(o, Done) for row in o.rows} == {"person1"}
    told.clear()
    group = identify(replace(config, probes=(str(people / "group"),), faces="all", min_cos=0.999999), told.append)
    assert isinstance(group, IdentifyReport) and group.searches >= 6 and group.known <= 1
    told.clear()
    both = identify(replace(config, probes=(str(people / "group"),), faces="all", together=True), told.append)
    assert isinstance(both, IdentifyReport) and (both.searches, both.rejected) == (0, 1)
    assert [outcome.reason for outcome in told if isinstance(outcome, Rejected)] == ["several_faces"]
