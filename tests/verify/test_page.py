"""The page of an evaluation: its numbers are the report's, it fetches nothing, and a browser shows it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import beta

from cosface_cli.artifacts import pictures
from cosface_cli.engines.sources import File
from cosface_cli.maths.curve import roc
from cosface_cli.verify.faces.source import FacePicture
from cosface_cli.verify.figures.curve_plots import roc_band
from cosface_cli.verify.figures.protocol_page import _picture, write_report
from cosface_cli.verify.protocols.all_pairs import AllPairsConfig
from cosface_cli.verify.protocols.csv_pairs import CsvConfig
from cosface_cli.verify.stage import run_protocol
from tests.browser import rendered
from tests.conftest import Cosface
from tests.verify.conftest import MakeStore, at_angle


@pytest.fixture
def lists(people: Path, tmp_path: Path) -> Path:
    """Pairs of photos of six people, in two folds; one photo has a name that a page must escape."""
    rows = ["left,right,same,fold,left_hair,right_hair"]
    for number in range(1, 7):
        (tmp_path / "raw" / f"p{number}").mkdir(parents=True)
        for kind in ("near", "far"):
            shutil.copy(people / f"person{number}" / f"{kind}.jpg", tmp_path / "raw" / f"p{number}" / f"<b>{kind}.jpg")
        rows.append(f"p{number}/<b>near.jpg,p{number}/<b>far.jpg,1,{number % 2 + 1},long,long")
        rows.append(f"p{number}/<b>near.jpg,p{number % 6 + 1}/<b>far.jpg,0,{number % 2 + 1},long,short")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.slow
def test_from_the_command_line(invoke: Cosface, lists: Path, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    words = ("verify", tmp_path / "raw", "--pairs", lists, "--groups", "hair", "--report", page, "--workers", 1)
    done = invoke(*words)
    assert done.code == 0, done
    (row,) = done.rows
    text = page.read_text()
    assert f"{100 * row['accuracy']:.2f} %" in text and row["model_id"] in text and row["list_hash"][:16] in text
    assert "--groups hair --report" in text and f"cosface verify {tmp_path}/raw" in text
    assert "<b>near" not in text and "p1/&lt;b&gt;near.jpg" in text
    assert "needs at least 10 impostor pairs; there" in " ".join(text.split())
    assert text.count("data:image/webp;base64,") == 2 * len(row["fold_accuracy"]) * 6
    assert not re.search(r'(?:src|href)="(?!data:|#)', text) and "http:" not in re.sub(
        r'xmlns(:\w+)?="[^"]*"', "", text
    )
    shown = rendered(page)
    assert shown.count("<svg") == 3 and "<title>Verification: dlib by csv</title>" in shown


@pytest.mark.slow
def test_of_a_curve_without_pairs(make_store: MakeStore, tmp_path: Path) -> None:
    vectors = {f"P{n}/{k}.jpg": at_angle(12 * n + k) for n in range(8) for k in range(3)}
    scored, report = run_protocol(AllPairsConfig(source=make_store(vectors)))
    assert scored.pairs is None
    write_report(tmp_path / "a.html", scored, report, "cosface verify")
    text = (tmp_path / "a.html").read_text()
    assert text.count("<svg") == 3 and "no picture" not in text
    write_report(tmp_path / "b.html", scored, report, "cosface verify")
    assert (tmp_path / "b.html").read_bytes() == (tmp_path / "a.html").read_bytes()


def test_the_hardest_are_the_highest_impostors_and_the_lowest_genuine_pairs(tmp_path: Path) -> None:
    genuine, impostors = np.linspace(0.5, 0.9, 30), np.linspace(-0.2, 0.6, 30)
    lines = [f"{score:.4f},{same}" for same, scores in ((1, genuine), (0, impostors)) for score in scores]
    (tmp_path / "scores.csv").write_text("\n".join(["score,same", *lines]) + "\n")
    write_report(tmp_path / "a.html", *run_protocol(CsvConfig(source=tmp_path / "scores.csv")))
    shown = [float(score) for score in re.findall(r"<h3>(-?[\d.]+)", (tmp_path / "a.html").read_text())]
    assert shown == [round(score, 4) for score in (*impostors[::-1][:12], *genuine[:12])]


def test_photos_that_are_gone(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store({f"P{n}/{k}.jpg": at_angle(12 * n + k) for n in range(4) for k in range(2)})
    rows = [f"P{n}/0.jpg,P{n}/1.jpg,1" for n in range(4)] + [f"P{n}/0.jpg,P{(n + 1) % 4}/1.jpg,0" for n in range(4)]
    (tmp_path / "pairs.csv").write_text("\n".join(["left,right,same", *rows]) + "\n")
    scored, report = run_protocol(CsvConfig(source=store, pairs=tmp_path / "pairs.csv"))
    write_report(tmp_path / "a.html", scored, report)
    assert (tmp_path / "a.html").read_text().count("no picture") == 16


def test_the_face_is_shown_not_the_whole_photo(tmp_path: Path) -> None:
    """A wide photo, red but for a green face; the same file as a crop is shown whole."""
    picture = np.zeros((100, 400, 3), np.uint8)
    picture[:, :, 0] = 255
    picture[30:70, 300:340] = (0, 255, 0)
    (tmp_path / "1.png").write_bytes(pictures.encode_png(picture))
    file = File(tmp_path / "1.png")

    def shown(box: tuple[float, ...] | None) -> np.ndarray:
        with Image.open(io.BytesIO(base64.b64decode(_picture(FacePicture(file, box))))) as image:
            return np.asarray(image.convert("RGB"), np.float64)

    face, whole = shown((300.0, 30.0, 340.0, 70.0)), shown(None)
    assert face.shape == (64, 64, 3) and whole.shape == (28, 112, 3)  # 40 pixels and .3 of that on each side
    assert face[20:44, 20:44, 1].min() > 200 and face[2, 2, 0] > 200 and whole[..., 0].mean() > 200
    assert shown((900.0, 900.0, 990.0, 990.0)).shape == whole.shape  # a box that is of another picture


def test_bands_are_exact_intervals_of_the_curve() -> None:
    random = np.random.default_rng(2)
    same = np.arange(4000) < 1000
    curve = roc(random.normal(np.where(same, 1.5, 0.0)).round(2), same)
    found = roc_band(curve)
    assert len(found.far) <= 242 and found.far[-1] == 1 and found.tar[-1] == 1 and found.far[0] == 0
    for far, tar, low, high in zip(found.far, found.tar, found.low, found.high, strict=True):
        best = curve.tar[np.searchsorted(curve.far, far, side="right") - 1]  # the step function's upper end
        assert tar == best
        hits = round(tar * 1000)
        assert low == pytest.approx(beta.ppf(0.025, hits, 1001 - hits) if hits else 0)
        assert high == pytest.approx(beta.ppf(0.975, hits + 1, 1000 - hits) if hits < 1000 else 1)


def test_it_goes_with_a_protocol(invoke: Cosface, people: Path, tmp_path: Path) -> None:
    photo = people / "person1" / "near.jpg"
    done = invoke("verify", photo, photo, "--report", tmp_path / "a.html")
    assert (
        done.code == 2
        and "--report is not an option of a comparison of photos" in done.err
        and not (tmp_path / "a.html").exists()
    )
    assert json.dumps(done.out) == '""'
