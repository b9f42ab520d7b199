"""Photos and rows against each other: scores, decisions, and what is said of the photos."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from cosface_cli.align import AlignConfig
from cosface_cli.align.stage import align
from cosface_cli.embed import EmbedConfig
from cosface_cli.embed.stage import embed
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.errors import CosfaceError, ModelMismatch
from cosface_cli.maths.geometry import template
from cosface_cli.outcomes import Done, Note, OnOutcome, Outcome, Rejected
from cosface_cli.verify import CompareConfig, ManyReport, Match
from cosface_cli.verify.calibration import CalibrateConfig
from cosface_cli.verify.calibration.stage import calibrate
from cosface_cli.verify.protocols.csv_pairs import CsvConfig
from cosface_cli.verify.stage import are_many, compare_list, compare_many, compare_two, run_protocol
from tests.verify.conftest import MakeStore, at_angle, unit

ONE = CompareConfig(workers=1)


def outcomes_and_report(run: Callable[[OnOutcome], ManyReport]) -> tuple[list[Outcome], ManyReport]:
    """What a stage emits, and its report."""
    outcomes: list[Outcome] = []
    return outcomes, run(outcomes.append)


def rows(outcomes: list[Outcome]) -> list[dict]:
    found: list[dict] = []
    for outcome in outcomes:
        if isinstance(outcome, Done):
            found += outcome.rows
        elif isinstance(outcome, Rejected) and outcome.row is not None:
            found.append(dict(outcome.row))
    return found


def codes(match: Match) -> set[str]:
    return {warned.code for warned in match.warnings}


@pytest.fixture(scope="module")
def photo(people: Path) -> Image.Image:
    with Image.open(people / "person5" / "far.jpg") as image:
        return image.convert("RGB")


def saved(image: Image.Image, path: Path, **how: int) -> str:
    image.save(path, quality=95, **how)
    return str(path)


class TestWarnings:
    def test_the_same_file_under_two_names(self, photo: Image.Image, tmp_path: Path) -> None:
        one = saved(photo, tmp_path / "a.jpg")
        (tmp_path / "b.jpg").write_bytes(Path(one).read_bytes())
        outcomes, (match,) = outcomes_and_report(lambda emit: compare_two(one, str(tmp_path / "b.jpg"), ONE, emit))
        assert codes(match) == {"identical_files"} and match.cos == pytest.approx(1, abs=1e-6)
        assert any("are the same file" in note.text for note in outcomes if isinstance(note, Note))

    def test_a_copy_and_a_mirror_image(self, photo: Image.Image, tmp_path: Path) -> None:
        one = saved(photo, tmp_path / "a.jpg")
        width, height = photo.size
        cut = photo.crop((width // 20, height // 20, width - width // 20, height)).resize((width, height))
        (copy,) = compare_two(one, saved(cut, tmp_path / "cut.jpg"), ONE)
        assert codes(copy) == {"copy"}
        mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        (mirror,) = compare_two(one, saved(mirrored, tmp_path / "mirror.jpg"), ONE)
        assert codes(mirror) == {"mirror"}

    def test_two_crops_of_one_photo(self, people: Path, tmp_path: Path) -> None:
        align(AlignConfig(raw=str(people / "group"), aligned=tmp_path / "out", faces="all", workers=1))
        crops = sorted(str(path) for path in (tmp_path / "out").glob("*.jpg"))
        found = [m for other in crops[1:] for m in compare_two(crops[0], other, CompareConfig(threshold=-1.0))]
        assert found and all(codes(match) >= {"one_photo"} for match in found)
        (apart,) = compare_two(crops[0], crops[1], ONE)  # of two people: nothing is claimed
        assert not apart.same and "one_photo" not in codes(apart)

    def test_tiny_and_blurred(self, photo: Image.Image, tmp_path: Path) -> None:
        (whole,) = compare_two(saved(photo, tmp_path / "a.jpg"), saved(photo, tmp_path / "b.png"), ONE)
        assert not {"tiny", "blurred"} & codes(whole)
        content = Path(tmp_path / "a.jpg").read_bytes()
        reader = Reader(open_detector("mtcnn", 20), template("dlib"))
        scale = 26 / reader.faces(content, "photo")[1][0].quality["face_px"]
        small = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.LANCZOS)
        (tiny,) = compare_two(str(tmp_path / "a.jpg"), saved(small, tmp_path / "small.png"), ONE)
        assert "tiny" in codes(tiny)
        soft = photo.resize((400, round(400 * photo.height / photo.width))).filter(ImageFilter.GaussianBlur(9))
        (blurred,) = compare_two(str(tmp_path / "a.jpg"), saved(soft, tmp_path / "soft.png"), ONE)
        assert "blurred" in codes(blurred)

    def test_several_faces(self, people: Path) -> None:
        group, face = str(people / "group" / "t1.jpg"), str(people / "person3" / "near.jpg")
        (match,) = compare_two(group, face, ONE)
        (several,) = (warned for warned in match.warnings if warned.code == "several_faces")
        assert several.photo == group and "the largest one was used" in several.words
        found = compare_two(group, face, CompareConfig(faces="all"))
        assert len(found) >= 5 and {m.left_face for m in found} == set(range(1, len(found) + 1))
        assert [m.cos for m in found] == sorted((m.cos for m in found), reverse=True)
        assert found[0].same and not found[1].same and all("several_faces" not in codes(m) for m in found)


class TestMany:
    def test_a_folder_best_first_and_nobody_silent(self, people: Path) -> None:
        probe = str(people / "person5" / "near.jpg")
        outcomes, report = outcomes_and_report(lambda emit: compare_many(probe, str(people), ONE, emit))
        found = rows(outcomes)
        scored = [row for row in found if row["status"] == "ok"]
        assert (report.compared, report.rejected) == (20, 4) and len(found) == 24
        assert [row["cos"] for row in scored] == sorted((row["cos"] for row in scored), reverse=True)
        assert all("person5" in row["right"] or "t1" in row["right"] for row in scored if row["same"])
        assert {row["reason"] for row in found if row["status"] != "ok"} == {"no_face"}
        assert report.same == sum(row["same"] for row in scored) >= 3

    def test_a_store_gives_the_same_scores(self, people: Path, tmp_path: Path) -> None:
        embed(EmbedConfig(source=str(people / "person1"), store=tmp_path / "p.h5", flip="sum", workers=1))
        probe = str(people / "person1" / "far.jpg")
        outcomes, report = outcomes_and_report(lambda emit: compare_many(probe, str(tmp_path / "p.h5"), ONE, emit))
        assert report.compared == 3
        told2, _ = outcomes_and_report(
            lambda emit: compare_many(probe, str(people / "person1"), CompareConfig(flip="sum"), emit)
        )
        by_store, by_photo = rows(outcomes), rows(told2)
        assert [row["cos"] for row in by_store] == pytest.approx([row["cos"] for row in by_photo], abs=1e-6)
        assert by_store[0]["flip"] == "sum" and by_store[0]["right"] == "far.jpg"
        with pytest.raises(ModelMismatch, match="dlib-int8"):
            compare_many(probe, str(tmp_path / "p.h5"), CompareConfig(models=("dlib-int8",)))
        with pytest.raises(CosfaceError, match="--flip sum"):
            compare_many(probe, str(tmp_path / "p.h5"), CompareConfig(flip="concat"))

    def test_a_probe_without_a_face(self, people: Path) -> None:
        with pytest.raises(CosfaceError, match="no face"):
            compare_many(str(people / "masks" / "mask_blue.jpg"), str(people / "person1"), ONE)

    def test_words_that_name_many_photos(self, people: Path, tmp_path: Path) -> None:
        assert are_many(str(people)) and are_many(str(people / "*.jpg"))
        assert not are_many(str(people / "person1" / "far.jpg")) and not are_many(str(tmp_path / "none.jpg"))
        odd = tmp_path / "a [1].jpg"  # a file, whatever its name looks like
        odd.write_bytes((people / "person1" / "far.jpg").read_bytes())
        assert not are_many(str(odd))


class TestStores:
    """Rows at known angles: their scores are cosines worked out by hand."""

    def test_two_rows(self, make_store: MakeStore) -> None:
        store = make_store({"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(30), "B/1.jpg": at_angle(90)})
        config = CompareConfig(stores=(store,), threshold=0.8)
        (near,) = compare_two("A/1.jpg", "A/2.jpg", config)
        assert near.cos == pytest.approx(np.cos(np.pi / 6), abs=1e-6) and near.same and near.model == "net"
        (far,) = compare_two("A/1.jpg", "B/1.jpg", config)
        assert far.cos == pytest.approx(0, abs=1e-6) and not far.same and far.far is None
        with pytest.raises(CosfaceError, match=r"the store has no row of C/1\.jpg"):
            compare_two("A/1.jpg", "C/1.jpg", config)
        with pytest.raises(CosfaceError, match="no threshold is known for net"):
            compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(store,)))
        with pytest.raises(CosfaceError, match="--faces largest or all"):
            compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(store,), faces="center", threshold=0.8))

    def test_a_cosine_equal_to_the_threshold_is_the_same_person(self, make_store: MakeStore) -> None:
        """The cosine of (1, 0) and (.6, .8) is the float32 nearest to .6, without rounding."""
        store = make_store({"A/1.jpg": np.array([1.0, 0.0]), "A/2.jpg": np.array([0.6, 0.8])})
        cosine = float(np.float32(0.6))
        for threshold, same in ((cosine, True), (np.nextafter(cosine, 1), False)):
            (match,) = compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(store,), threshold=float(threshold)))
            assert match.same is same

    def test_one_against_all_rows(self, make_store: MakeStore) -> None:
        store = make_store({"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(60), "B/1.jpg": at_angle(20)})
        outcomes, report = outcomes_and_report(
            lambda emit: compare_many("A/1.jpg", None, CompareConfig(stores=(store,), threshold=0.9), emit)
        )
        assert [row["right"] for row in rows(outcomes)] == ["A/1.jpg", "B/1.jpg", "A/2.jpg"]
        assert report.compared == 3 and report.same == 2

    def test_two_stores_are_fused(self, make_store: MakeStore) -> None:
        """Cosines .5 and 0: their mean is .25."""
        one = make_store({"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(60)}, name="a.h5", model="one")
        two = make_store({"A/2.jpg": unit(0, 0, 1), "A/1.jpg": unit(0, 1, 0)}, name="b.h5", model="two")
        (match,) = compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(one, two), threshold=0.8))
        assert match.cos == pytest.approx(0.25, abs=1e-6) and match.model == "one+two"
        with pytest.raises(CosfaceError, match="--fuse mean"):
            compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(one, two), fuse="concat", threshold=0.8))
        with pytest.raises(CosfaceError, match="twice"):
            compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(one, one), threshold=0.8))
        other = make_store({"A/1.jpg": at_angle(0)}, name="c.h5", model="two", flip="sum")
        with pytest.raises(CosfaceError, match="--flip sum"):
            compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(one, other), threshold=0.8))
        short = make_store({"A/1.jpg": at_angle(0)}, name="d.h5", model="two")
        with pytest.raises(CosfaceError, match=r"d\.h5: the store has no row of A/2"):
            compare_two("A/1.jpg", "A/2.jpg", CompareConfig(stores=(one, short), threshold=0.8))

    def test_a_store_is_not_of_the_model_named(self, make_store: MakeStore) -> None:
        store = make_store({"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(30)})
        with pytest.raises(ModelMismatch, match="expected dlib "):
            compare_two("A/1.jpg", "A/2.jpg", CompareConfig(models=("dlib",), stores=(store,)))


class TestList:
    def test_rows_are_as_the_pairs_and_each_photo_is_read_once(self, people: Path) -> None:
        a, b, c = (str(people / "person1" / f"{kind}.jpg") for kind in ("near", "middle", "far"))
        cloth = str(people / "masks" / "mask_blue.jpg")
        pairs = [(a, b), (c, a), (cloth, b), (b, b), (a, b)]
        outcomes, report = outcomes_and_report(lambda emit: compare_list(pairs, ONE, emit))
        found = rows(outcomes)
        assert [(row["left"], row["right"]) for row in found] == pairs
        assert [row["status"] for row in found] == ["ok", "ok", "rejected", "ok", "ok"]
        assert found[0]["cos"] == found[4]["cos"] and found[3]["cos"] == pytest.approx(1, abs=1e-6)
        assert (report.compared, report.rejected) == (4, 1) and report.same == sum(bool(row["same"]) for row in found)

    def test_of_a_store(self, make_store: MakeStore) -> None:
        store = make_store({"A/1.jpg": at_angle(0), "A/2.jpg": at_angle(30), "B/1.jpg": at_angle(90)})
        outcomes, report = outcomes_and_report(
            lambda emit: compare_list(
                [("A/1.jpg", "A/2.jpg"), ("B/1.jpg", "gone.jpg")], CompareConfig(stores=(store,), threshold=0.8), emit
            )
        )
        assert [row["reason"] for row in rows(outcomes)] == [None, "not_in_store"] and report.rejected == 1


def test_models_are_fused(people: Path) -> None:
    """The mean of two models' cosines; joined by length where that is wanted."""
    pair = (str(people / "person1" / "near.jpg"), str(people / "person2" / "near.jpg"))
    alone = [compare_two(*pair, CompareConfig(models=(model,)))[0] for model in ("dlib", "dlib-int8")]
    (mean,) = compare_two(*pair, CompareConfig(models=("dlib", "dlib-int8"), threshold=0.9))
    assert mean.cos == pytest.approx(sum(m.cos for m in alone) / 2, abs=2e-6) and mean.model == "dlib+dlib-int8"
    (joined,) = compare_two(*pair, CompareConfig(models=("dlib", "dlib-int8"), fuse="concat", threshold=0.9))
    assert joined.model_id != mean.model_id
    assert min(m.cos for m in alone) - 0.01 < joined.cos < max(m.cos for m in alone) + 0.01
    with pytest.raises(CosfaceError, match="no threshold is known for dlib"):
        compare_two(*pair, CompareConfig(models=("dlib", "dlib-int8")))
    with pytest.raises(CosfaceError, match="did you mean 'mean'"):
        compare_two(*pair, CompareConfig(models=("dlib",), fuse="maen"))


def test_a_name_that_is_no_photo(tmp_path: Path, people: Path) -> None:
    (tmp_path / "text.jpg").write_bytes(io.BytesIO(b"nothing to see").getvalue())
    good = str(people / "person1" / "near.jpg")
    with pytest.raises(CosfaceError, match=r"text\.jpg"):
        compare_two(good, str(tmp_path / "text.jpg"), ONE)
    with pytest.raises(CosfaceError, match="no such file"):
        compare_two(good, str(tmp_path / "none.jpg"), ONE)


@pytest.mark.slow
def test_an_ensemble_by_a_protocol_and_calibrated(people: Path, tmp_path: Path) -> None:
    """The scores of a list are the means of the two models' own; a table for both together is theirs alone."""
    raw = tmp_path / "raw"
    rows = ["left,right,same"]
    for number in (1, 2, 3, 4):
        (raw / f"person{number}").mkdir(parents=True)
        for kind in ("near", "far"):
            (raw / f"person{number}" / f"{kind}.jpg").symlink_to(people / f"person{number}" / f"{kind}.jpg")
        rows.append(f"person{number}/near.jpg,person{number}/far.jpg,1")
        rows.append(f"person{number}/near.jpg,person{number % 4 + 1}/near.jpg,0")
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")

    def scores(**how: object) -> np.ndarray:
        config = CsvConfig(source=raw, pairs=tmp_path / "pairs.csv", workers=1, **how)
        scored, report = run_protocol(config)
        assert scored.pairs is not None and report.model in ("dlib", "dlib-int8", "dlib+dlib-int8")
        return scored.pairs.scores

    alone = [scores(models=(model,)) for model in ("dlib", "dlib-int8")]
    assert scores(models=("dlib", "dlib-int8")) == pytest.approx((alone[0] + alone[1]) / 2, abs=2e-6)
    both = {"models": ("dlib", "dlib-int8"), "workers": 1}
    with pytest.raises(CosfaceError, match="--out FILE"):
        calibrate(CalibrateConfig(source=raw, **both))
    calibrate(CalibrateConfig(source=raw, out=tmp_path / "c.json", **both))
    pair = (str(raw / "person1" / "near.jpg"), str(raw / "person1" / "far.jpg"))
    how = {"calibration": tmp_path / "c.json", "far": 0.1}
    (match,) = compare_two(*pair, CompareConfig(models=("dlib-int8", "dlib"), **how))
    assert match.same and match.far is not None
    with pytest.raises(ModelMismatch):
        compare_two(*pair, CompareConfig(models=("dlib",), **how))
