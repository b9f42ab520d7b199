"""YTF: two people, two clips, three frames each, pooled both ways by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from cosface_cli.errors import CosfaceError
from cosface_cli.verify.protocols.ytf import YtfConfig, evenly_spaced, frames_by_clip
from cosface_cli.verify.stage import run_protocol, verify_protocol
from tests.verify.conftest import MakeStore, at_angle

CLIPS = {
    "A/0": (0, 30, 60), "A/1": (30, 60, 90), "B/0": (180, 200, 220), "B/1": (190, 200, 210),
}  # fmt: skip
LIST = "split number, first name, second name, is same\n" + "".join(
    f"{fold}, {a}, {b}, {int(a[0] == b[0])}\n"
    for fold, pairs in enumerate(((("A/0", "A/1"), ("A/0", "B/0")), (("B/0", "B/1"), ("A/1", "B/0"))), 1)
    for a, b in pairs
)


@pytest.fixture
def store(make_store: MakeStore) -> Path:
    return make_store(
        {f"{c}/{c[-1]}.{n}.jpg": at_angle(d) for c, angles in CLIPS.items() for n, d in enumerate(angles)}
    )


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    path = tmp_path / "splits.txt"
    path.write_text(LIST)
    return path


def frame_vectors(clip: str, places: tuple[int, ...] = (0, 1, 2)) -> np.ndarray:
    return np.array([(math.cos(math.radians(CLIPS[clip][p])), math.sin(math.radians(CLIPS[clip][p]))) for p in places])


def test_mean_of_scores_is_over_every_pair_of_frames(store: Path, splits: Path):
    scored, found = run_protocol(YtfConfig(source=store, pairs=splits, pooling="scores"))
    brute = [
        np.mean([a @ b for a in frame_vectors(left) for b in frame_vectors(right)])
        for left, right in (("A/0", "A/1"), ("A/0", "B/0"), ("B/0", "B/1"), ("A/1", "B/0"))
    ]
    assert scored.pairs is not None and scored.pairs.scores == pytest.approx(brute, abs=1e-6)
    assert (found.protocol, found.folds, found.pairs) == ("ytf", 2, 4)
    assert found.details["pooling"] == "scores" and found.details["frames"] == "all"
    assert (found.details["clips"], found.details["frames_used"], found.details["frames_without_face"]) == (4, 12, 0)
    assert found.details["accuracy_by_pooling"] == {"embedding": 1.0, "scores": 1.0}


def test_mean_embeddings_by_hand(store: Path, splits: Path):
    """The mean of directions that lie symmetrically is the middle one: 30, 60, 200 and 200 degrees."""
    scored, _ = run_protocol(YtfConfig(source=store, pairs=splits))
    expected = [math.cos(math.radians(d)) for d in (30, 170, 0, 140)]
    assert scored.pairs is not None and scored.pairs.scores == pytest.approx(expected, abs=1e-6)
    assert scored.pairs.identities == ("A", "A", "B", "B")
    assert [one.place.path.name for one in scored.pairs.pictures[0]] == ["0.0.jpg", "0.1.jpg", "0.2.jpg"]


def test_a_number_of_frames(store: Path, splits: Path):
    scored, found = run_protocol(YtfConfig(source=store, pairs=splits, frames=2, pooling="scores"))
    a, b = frame_vectors("A/0", (0, 2)), frame_vectors("A/1", (0, 2))
    assert scored.pairs is not None and scored.pairs.scores[0] == pytest.approx(np.mean(a @ b.T), abs=1e-6)
    assert (found.details["frames"], found.details["frames_used"]) == (2, 8)


def test_frames_are_in_the_order_of_their_numbers_and_evenly_evenly_spaced():
    names = [f"A/0/0.{n}.jpg" for n in (10, 9, 1, 2)] + ["A/1.mp4/00002.png", "A/1.mp4/00001.png"]
    clips = frames_by_clip(names)
    assert clips["A/0"] == ["A/0/0.1.jpg", "A/0/0.2.jpg", "A/0/0.9.jpg", "A/0/0.10.jpg"]
    assert clips["A/1"] == clips["A/1.mp4"] == ["A/1.mp4/00001.png", "A/1.mp4/00002.png"]
    frames = [str(n) for n in range(7)]
    assert (
        evenly_spaced(frames, 3) == ["0", "3", "6"] and evenly_spaced(frames, 0) == evenly_spaced(frames, 9) == frames
    )
    assert evenly_spaced(frames, 1) == ["0"]


def test_clips_without_a_frame_are_missing(make_store: MakeStore, splits: Path, tmp_path: Path):
    kept = {f"{c}/{c[-1]}.{n}.jpg": at_angle(d) for c, a in CLIPS.items() if c != "B/1" for n, d in enumerate(a)}
    kept["A/0/0.1.jpg"] = np.array([np.nan, 0])
    found = verify_protocol(YtfConfig(source=make_store(kept), pairs=splits))
    assert found.missing == ("B/1",) and found.scored == 3 and found.fold_accuracy == (1.0, 0.5)
    assert (found.details["frames_used"], found.details["frames_without_face"]) == (8, 1)
    with pytest.raises(CosfaceError, match="none of the clips"):
        verify_protocol(YtfConfig(source=make_store({"Z/0/1.jpg": at_angle(0)}), pairs=splits))
    with pytest.raises(CosfaceError, match="did you mean 'scores'"):
        verify_protocol(YtfConfig(source=make_store(kept), pairs=splits, pooling="score"))
    with pytest.raises(CosfaceError, match="no such file or folder"):
        verify_protocol(YtfConfig(source=tmp_path / "none"))


def test_the_sample_of_ytf(shared: Path):
    from cosface_cli.artifacts.lists.pair_table import read_pair_rows

    rows = read_pair_rows(shared / "data" / "ytf" / "splits.txt")
    assert len(rows) == 250 and {row.fold for row in rows} == set(range(1, 6))
