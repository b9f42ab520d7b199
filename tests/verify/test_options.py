"""No option is accepted and ignored: where it changes nothing it is refused, or said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.outcomes import Note, Outcome
from cosface_cli.verify import CompareConfig, ProtocolConfig
from cosface_cli.verify.compare.comparing import compare_two
from cosface_cli.verify.leakage import LeakageConfig
from cosface_cli.verify.leakage.stage import leakage
from cosface_cli.verify.stage import verify_protocol
from tests.verify.conftest import MakeStore, at_angle

PHOTOS = {"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(5), "B/1.jpg": at_angle(70), "B/2.jpg": at_angle(77)}


@pytest.fixture
def store(make_store: MakeStore) -> Path:
    return make_store(PHOTOS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"detector": "yunet.onnx"}, "--detector changes nothing about a store"),
        ({"min_face": 40.0}, "--min-face changes nothing about a store"),
        ({"workers": 3}, "--workers changes nothing about a store"),
        ({"fuse": "concat"}, "--fuse concat joins several models"),
        ({"far": 1e-4}, "--far asks for a threshold, --threshold names one"),
    ],
)
def test_rows_compared(store: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(CosfaceError, match=words):
        compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(store,), threshold=0.5, **options))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fuse": "concat"}, "--fuse changes nothing about a store"),
        ({"models": ("dlib", "dlib-int8")}, "a store is of one model"),
        ({"missing": "skip", "allow_missing": 2}, "--allow-missing changes nothing"),
    ],
)
def test_a_store_by_a_protocol(store: Path, tmp_path: Path, options: dict[str, Any], words: str) -> None:
    (tmp_path / "pairs.csv").write_text("left,right,same\nA/1.jpg,A/2.jpg,1\nA/1.jpg,B/1.jpg,0\n")
    with pytest.raises(CosfaceError, match=words):
        verify_protocol(ProtocolConfig(store, pairs=tmp_path / "pairs.csv", **options))


def test_the_default_model_is_no_other_when_it_is_named(store: Path) -> None:
    with pytest.raises(ModelMismatch, match=r"embeddings of net .*, not of dlib"):
        verify_protocol(ProtocolConfig(store, "all-pairs", models=("dlib",)))


def test_scores_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("score,same\n.9,1\n.2,0\n")
    with pytest.raises(CosfaceError, match="the scores are in the list: --model changes nothing"):
        verify_protocol(ProtocolConfig(tmp_path / "scores.csv", models=("dlib", "dlib-int8")))


def test_leakage(store: Path, make_store: MakeStore) -> None:
    train = make_store(PHOTOS, name="train.h5", first=50)
    with pytest.raises(CosfaceError, match="--far asks for a threshold"):
        leakage(LeakageConfig(train, store, threshold=0.9, far=1e-3))
    with pytest.raises(CosfaceError, match="--faces changes nothing about a store"):
        leakage(LeakageConfig(train, store, threshold=0.9, faces="all"))


def test_crops_need_no_detector(packaged_photos: Path, tmp_path: Path) -> None:
    from cosface_cli.align import AlignConfig
    from cosface_cli.align.stage import align

    (tmp_path / "raw" / "A").mkdir(parents=True)
    for name in ("t1.jpg", "Tom_Hanks_54745.png"):
        (tmp_path / "raw" / "A" / name).symlink_to(packaged_photos / name)
    align(AlignConfig(raw=str(tmp_path / "raw"), aligned=tmp_path / "crops", workers=1))
    (tmp_path / "pairs.csv").write_text("left,right,same\nA/t1,A/Tom_Hanks_54745,0\nA/t1,A/t1,1\n")
    told: list[Outcome] = []
    config = ProtocolConfig(tmp_path / "crops", pairs=tmp_path / "pairs.csv", workers=1)
    verify_protocol(config, told.append)
    assert not [one for one in told if isinstance(one, Note) and "crops already" in one.text]
    verify_protocol(ProtocolConfig(config.source, pairs=config.pairs, workers=1, min_face=50.0), told.append)
    assert any(isinstance(one, Note) and "crops already: --min-face" in one.text for one in told)
