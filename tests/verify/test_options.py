"""No option is accepted and ignored: where it changes nothing it is refused, or said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.outcomes import Note, Outcome
from cosface_cli.verify import CompareConfig
from cosface_cli.verify.leakage import LeakageConfig
from cosface_cli.verify.leakage.stage import leakage
from cosface_cli.verify.protocols.all_pairs import AllPairsConfig
from cosface_cli.verify.protocols.csv_pairs import CsvConfig
from cosface_cli.verify.stage import compare_two, verify_protocol
from tests.verify.conftest import MakeStore, at_angle

PHOTOS = {"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(5), "B/1.jpg": at_angle(70), "B/2.jpg": at_angle(77)}


@pytest.fixture
def store(make_store: MakeStore) -> Path:
    return make_store(PHOTOS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"detector": "yunet.onnx"}, "--detector has no effect on a store"),
        ({"min_face": 40.0}, "--min-face has no effect on a store"),
        ({"workers": 3}, "--workers has no effect on a store"),
        ({"fuse": "concat"}, "--fuse concat needs several models"),
        ({"far": 1e-4}, "--far and --threshold exclude each other"),
    ],
)
def test_rows_compared(store: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(CosfaceError, match=words):
        compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(store,), threshold=0.5, **options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fuse": "concat"}, "--fuse has no effect on a store"),
        ({"models": ("dlib", "dlib-int8")}, "a store is of one model"),
        ({"missing": "skip", "allow_missing": 2}, "--allow-missing has no effect"),
    ],
)
def test_a_store_by_a_protocol(store: Path, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    (tmp_path / "pairs.csv").write_text("left,right,same\nA/1.jpg,A/2.jpg,1\nA/1.jpg,B/1.jpg,0\n")
    with pytest.raises(CosfaceError, match=words):
        verify_protocol(CsvConfig(source=store, pairs=tmp_path / "pairs.csv", **options))


def test_the_default_model_is_no_other_when_it_is_named(store: Path) -> None:
    with pytest.raises(ModelMismatch, match=r"made with net .*, expected dlib"):
        verify_protocol(AllPairsConfig(source=store, models=("dlib",)))


def test_scores_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("score,same\n.9,1\n.2,0\n")
    with pytest.raises(CosfaceError, match="--model has no effect on scores that are in the list"):
        verify_protocol(CsvConfig(source=tmp_path / "scores.csv", models=("dlib", "dlib-int8")))


def test_leakage(store: Path, make_store: MakeStore) -> None:
    train = make_store(PHOTOS, name="train.h5", first=50)
    with pytest.raises(CosfaceError, match="--far and --threshold exclude each other"):
        leakage(LeakageConfig(train=train, test=store, threshold=0.9, far=1e-3))
    with pytest.raises(CosfaceError, match="--faces has no effect on a store"):
        leakage(LeakageConfig(train=train, test=store, threshold=0.9, faces="all"))


def test_crops_need_no_detector(packaged_photos: Path, tmp_path: Path) -> None:
    from cosface_cli.align import AlignConfig
    from cosface_cli.align.stage import align

    (tmp_path / "raw" / "A").mkdir(parents=True)
    for name in ("t1.jpg", "Tom_Hanks_54745.png"):
        (tmp_path / "raw" / "A" / name).symlink_to(packaged_photos / name)
    align(AlignConfig(raw=str(tmp_path / "raw"), aligned=tmp_path / "crops", workers=1))
    (tmp_path / "pairs.csv").write_text("left,right,same\nA/t1,A/Tom_Hanks_54745,0\nA/t1,A/t1,1\n")
    outcomes: list[Outcome] = []
    config = CsvConfig(source=tmp_path / "crops", pairs=tmp_path / "pairs.csv", workers=1)
    verify_protocol(config, outcomes.append)
    assert not [one for one in outcomes if isinstance(one, Note) and "holds crops" in one.text]
    verify_protocol(CsvConfig(source=config.source, pairs=config.pairs, workers=1, min_face=50.0), outcomes.append)
    assert any(
        isinstance(one, Note) and "options for photos have no effect: --min-face" in one.text for one in outcomes
    )
