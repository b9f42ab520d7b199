"""The leakage doctor: planted photos and people are found, and what is scored without them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosface_cli.embed import EmbedConfig
from cosface_cli.embed.stage import embed
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.outcomes import Done, Note, Outcome
from cosface_cli.verify.leakage import LeakageConfig, LeakageReport
from cosface_cli.verify.leakage.stage import leakage
from tests.verify.conftest import MakeStore, at_angle, unit


def found(config: LeakageConfig) -> tuple[LeakageReport, list[dict], list[str]]:
    outcomes: list[Outcome] = []
    report = leakage(config, outcomes.append)
    rows = [dict(row) for outcome in outcomes if isinstance(outcome, Done) for row in outcome.rows]
    return report, rows, [outcome.text for outcome in outcomes if isinstance(outcome, Note)]


@pytest.fixture
def train(make_store: MakeStore) -> Path:
    return make_store(
        {"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(4), "B/1.jpg": at_angle(90)}, name="train.h5", first=50
    )


def test_people_by_the_mean_of_their_faces(train: Path, make_store: MakeStore) -> None:
    """X is at 3.5 degrees, A at 2: cosine .99966; Y and Z are nobody's. Without X there is one person less."""
    vectors = {"X/1.jpg": at_angle(2), "X/2.jpg": at_angle(5), "Y/1.jpg": at_angle(40), "Y/2.jpg": at_angle(41)}
    test = make_store({**vectors, "Z/1.jpg": at_angle(60), "Z/2.jpg": at_angle(61)}, name="test.h5")
    report, rows, notes = found(LeakageConfig(train=train, test=test, threshold=0.999))
    assert (report.train_faces, report.test_faces, report.people, report.clean) == (3, 6, 1, False)
    (row,) = rows
    assert row["kind"] == "same_person" and row["test_identity"] == "X" and row["train_identity"] == "A"
    assert row["cos"] == pytest.approx(np.cos(np.radians(1.5)), abs=1e-6)
    assert row["test"] == "X/1.jpg" and row["train"] == "A/1.jpg"
    whole, without = report.scores
    assert whole["of"] == "all" and without["of"] == "without the people"
    assert whole["tar_at_far"][0]["genuine"] == 3 and whole["tar_at_far"][0]["impostors"] == 12
    assert without["tar_at_far"][0]["genuine"] == 2 and without["tar_at_far"][0]["impostors"] == 4
    assert any("--model" in note for note in notes) and report.by_chance is None


def test_the_threshold_is_the_training_sets_own(make_store: MakeStore) -> None:
    """Twelve people at random, three photos each; one of the test is one of them, by photos that are not there."""
    random = np.random.default_rng(4)
    centres = random.normal(size=(14, 64))

    def photos(person: int, count: int) -> list[np.ndarray]:
        return [unit(*(centres[person] + 0.7 * random.normal(size=64))) for _ in range(count)]

    trained = {f"t{n}/{k}.jpg": vector for n in range(12) for k, vector in enumerate(photos(n, 3))}
    tested = {f"v{n}/{k}.jpg": vector for n in (5, 12, 13) for k, vector in enumerate(photos(n, 2))}
    train = make_store(trained, name="train.h5", first=90)
    report, rows, _ = found(LeakageConfig(train=train, test=make_store(tested, name="test.h5"), far=0.001))
    assert [(row["test_identity"], row["train_identity"]) for row in rows] == [("v5", "t5")]
    assert report.by_chance == pytest.approx(0.001 * 12 * 3) and 0.2 < report.threshold < 0.8


def test_people_under_two_names_do_not_blind_it(make_store: MakeStore) -> None:
    """The threshold of a training set where one person is there as two is that of the set without the second name."""
    random = np.random.default_rng(7)
    centres = random.normal(size=(20, 64))
    trained = {f"t{n}/{k}.jpg": unit(*(centres[n] + 0.7 * random.normal(size=64))) for n in range(20) for k in range(4)}
    again = {f"also/{k}.jpg": unit(*(centres[3] + 0.7 * random.normal(size=64))) for k in range(4)}
    test = make_store({"X/1.jpg": unit(*random.normal(size=64))}, name="test.h5")
    once = found(LeakageConfig(train=make_store(trained, name="a.h5", first=90), test=test, far=0.001))[0].threshold
    twice = found(LeakageConfig(train=make_store({**trained, **again}, name="b.h5", first=90), test=test, far=0.001))[
        0
    ].threshold
    assert twice < once + 0.1 < 0.7  # where it counted, four faces would come as near as .8


def test_nothing_in_common(train: Path, make_store: MakeStore) -> None:
    test = make_store({"Y/1.jpg": at_angle(40), "Z/1.jpg": at_angle(60)}, name="test.h5")
    report, rows, _ = found(LeakageConfig(train=train, test=test, threshold=0.99))
    assert report.clean and rows == [] and [part["of"] for part in report.scores] == ["all"]


def test_stores_that_cannot_be_compared(train: Path, make_store: MakeStore) -> None:
    vectors = {"Y/1.jpg": at_angle(40)}
    with pytest.raises(ModelMismatch, match="other"):
        leakage(LeakageConfig(train=train, test=make_store(vectors, name="o.h5", model="other"), threshold=0.9))
    with pytest.raises(ModelMismatch, match="flip sum"):
        leakage(LeakageConfig(train=train, test=make_store(vectors, name="f.h5", flip="sum"), threshold=0.9))
    with pytest.raises(CosfaceError, match="only one person"):
        leakage(
            LeakageConfig(train=make_store({"A/1.jpg": at_angle(0)}, first=9), test=make_store(vectors, name="t.h5"))
        )


def test_a_list_is_scored_again(train: Path, make_store: MakeStore, tmp_path: Path) -> None:
    """Of four pairs the two with X go; what is left has one genuine and one impostor pair."""
    vectors = {"X/1.jpg": at_angle(2), "X/2.jpg": at_angle(5), "Y/1.jpg": at_angle(40), "Y/2.jpg": at_angle(41)}
    test = make_store({**vectors, "Z/1.jpg": at_angle(60)}, name="test.h5")
    lines = ["X/1.jpg,X/2.jpg,1", "Y/1.jpg,Y/2.jpg,1", "X/1.jpg,Z/1.jpg,0", "Y/2.jpg,Z/1.jpg,0"]
    (tmp_path / "pairs.csv").write_text("\n".join(["left,right,same", *lines]) + "\n")
    report, _, _ = found(LeakageConfig(train=train, test=test, threshold=0.999, pairs=tmp_path / "pairs.csv"))
    whole, without = report.scores
    assert (whole["tar_at_far"][0]["genuine"], whole["tar_at_far"][0]["impostors"]) == (2, 2)
    assert (without["tar_at_far"][0]["genuine"], without["tar_at_far"][0]["impostors"]) == (1, 1)


@pytest.mark.parametrize("ending", ["", ".jpg", ".png"])
def test_a_list_may_call_its_photos_by_other_endings(
    train: Path, make_store: MakeStore, tmp_path: Path, ending: str
) -> None:
    vectors = {"X/1.jpg": at_angle(2), "X/2.jpg": at_angle(5), "Y/1.jpg": at_angle(40), "Y/2.jpg": at_angle(41)}
    test = make_store(vectors, name="test.h5")
    names = [("X/1", "X/2", 1), ("Y/1", "Y/2", 1), ("X/1", "Y/1", 0), ("Y/2", "Y/1", 0)]
    lines = [f"{one}{ending},{other}{ending},{same}" for one, other, same in names]
    (tmp_path / "pairs.csv").write_text("\n".join(["left,right,same", *lines]) + "\n")
    report, _, _ = found(LeakageConfig(train=train, test=test, threshold=0.999, pairs=tmp_path / "pairs.csv"))
    assert [part["tar_at_far"][0]["genuine"] for part in report.scores] == [2, 1]


def test_a_clip_goes_with_one_of_its_frames(train: Path, make_store: MakeStore, tmp_path: Path) -> None:
    """The training set has a frame of X's first clip: both pairs with that clip go."""
    frames = {"X/0/1.jpg": at_angle(120), "X/0/2.jpg": at_angle(121), "X/1/1.jpg": at_angle(122)}
    test = make_store(
        {**frames, "Y/0/1.jpg": at_angle(40), "Y/1/1.jpg": at_angle(41), "Z/0/1.jpg": at_angle(60)}, name="test.h5"
    )
    shared = make_store({"A/1.jpg": at_angle(0), "B/1.jpg": at_angle(90)}, name="train.h5", first=1)  # hash 1: X/0/2
    pairs = ("X/0, X/1, 1", "Y/0, Y/1, 1", "X/0, Z/0, 0", "Y/0, Z/0, 0")
    lines = ["split number, first name, second name, is same", *(f"1, {pair}" for pair in pairs)]
    (tmp_path / "splits.txt").write_text("\n".join(lines) + "\n")
    report, rows, _ = found(LeakageConfig(train=shared, test=test, threshold=0.9999, pairs=tmp_path / "splits.txt"))
    assert {(row["kind"], row["test"]) for row in rows} == {("same_file", "X/0/2.jpg"), ("same_file", "X/1/1.jpg")}
    rates = [part["tar_at_far"][0] for part in report.scores]
    assert [(rate["genuine"], rate["impostors"]) for rate in rates] == [(2, 2), (1, 1)]


def test_photos_by_content_and_by_look(people: Path, tmp_path: Path) -> None:
    """Persons 1 to 3 were trained on. Of the test one photo is the same file, one a mirror image, one another cut."""
    raw, test = tmp_path / "raw", tmp_path / "test"
    for number in (1, 2, 3):
        (raw / f"person{number}").mkdir(parents=True)
        shutil.copy(people / f"person{number}" / "far.jpg", raw / f"person{number}")
    for name in ("same", "mirrored", "cut", "stranger"):
        (test / name).mkdir(parents=True)
    shutil.copy(people / "person1" / "far.jpg", test / "same" / "other name.jpg")
    with Image.open(people / "person2" / "far.jpg") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(test / "mirrored" / "1.jpg", quality=90)
    shutil.copy(people / "person3" / "middle.jpg", test / "cut" / "1.jpg")
    shutil.copy(people / "actor" / "Tom_Hanks_54745.png", test / "stranger" / "1.png")
    embed(EmbedConfig(source=str(raw), store=tmp_path / "train.h5", workers=1))
    report, rows, _ = found(LeakageConfig(train=tmp_path / "train.h5", test=test, threshold=0.94, workers=1))
    by_kind = {row["kind"]: (row["test"], row["train"]) for row in rows if row["kind"] != "same_person"}
    assert by_kind == {
        "same_file": ("same/other name.jpg", "person1/far.jpg"),
        "mirror": ("mirrored/1.jpg", "person2/far.jpg"),
        "copy": ("cut/1.jpg", "person3/far.jpg"),
    }
    assert (report.same_files, report.copies, report.people) == (1, 2, 3)
    assert {row["test_identity"] for row in rows if row["kind"] == "same_person"} == {"same", "mirrored", "cut"}
    embed(EmbedConfig(source=str(test), store=tmp_path / "test.h5", workers=1))
    again, again_rows, _ = found(
        LeakageConfig(train=tmp_path / "train.h5", test=tmp_path / "test.h5", threshold=0.94, workers=1)
    )
    assert again_rows == rows and again.scores == report.scores
