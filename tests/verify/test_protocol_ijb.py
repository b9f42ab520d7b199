"""IJB in small: pooling, 1:1 and the open set worked by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cosface_cli.errors import CosfaceError
from cosface_cli.verify import ProtocolReport
from cosface_cli.verify.protocols.ijb import IjbConfig
from cosface_cli.verify.protocols.ijb.templates import template_vector
from cosface_cli.verify.stage import run_protocol, verify_protocol
from tests.verify.conftest import MakeStore, at_angle


def meta_folder(root: Path, **files: str) -> Path:
    folder = root / "meta"
    folder.mkdir()
    for name, text in files.items():
        ending = ".csv" if name.startswith("1N") else ".txt"
        (folder / f"ijbc_{name}{ending}").write_text(text)
    return folder


def test_pooling_by_hand(make_store: MakeStore, tmp_path: Path):
    """Template 1: still a and the frames b, c of a video; template 2: d. Mean within the video, sum over the two."""
    a, b, c, d = (at_angle(degrees) for degrees in (0, 60, 120, 45))
    store = make_store({"a.jpg": a, "b.jpg": b, "c.jpg": c, "d.jpg": d})
    meta = meta_folder(
        tmp_path, face_tid_mid="a.jpg 1 10\nb.jpg 1 11\nc.jpg 1 11\nd.jpg 2 12\n", template_pair_label="1 2 1\n2 1 0\n"
    )
    total = a.astype(float) + (b.astype(float) + c) / 2  # (1, 0) + (0, sin 60)
    expected = total @ d / np.linalg.norm(total)
    assert expected == pytest.approx((1 + math.sin(math.pi / 3)) / math.sqrt(2) / math.hypot(1, math.sin(math.pi / 3)))
    scored, found = run_protocol(IjbConfig(source=store, pairs=meta))
    assert scored.pairs is not None and scored.pairs.scores == pytest.approx([expected] * 2, abs=1e-6)
    assert (found.protocol, found.pairs, found.accuracy, found.identification) == ("ijb", 2, None, None)
    assert found.details["flags"] == {"N": False, "D": False, "F": False} and found.details["set"] == "ijbc"
    assert (found.details["templates"], found.details["media"], found.details["photos"]) == (2, 3, 4)
    assert set(found.details["lists"]) == {"ijbc_face_tid_mid.txt", "ijbc_template_pair_label.txt"}
    assert [rate["far"] for rate in found.tar_at_far] == [10.0**-k for k in range(1, 7)]


def test_detector_scores_weigh_photos(make_store: MakeStore, tmp_path: Path):
    a, b, d = (at_angle(degrees) for degrees in (0, 90, 0))
    store = make_store({"a.jpg": a, "b.jpg": b, "d.jpg": d}, scores=[0.5, 1.0, 0.7])
    media = "a.jpg 1 10\nb.jpg 1 10\nd.jpg 2 12\n"
    meta = meta_folder(tmp_path, face_tid_mid=media, template_pair_label="1 2 1\n2 2 0\n")
    scored, found = run_protocol(IjbConfig(source=store, pairs=meta, weight_by_detector=True))
    assert scored.pairs is not None and scored.pairs.scores[0] == pytest.approx(0.5 / math.hypot(0.5, 1), abs=1e-6)
    assert found.details["flags"]["D"] is True
    line = "{} 1 1 9 1 5 5 2 9 8 9 {}\n"
    (meta / "ijbc_name_5pts_score.txt").write_text(
        "".join(line.format(f"{n}.jpg", s) for n, s in zip("abd", (1, 0, 1), strict=True))
    )
    scored, _ = run_protocol(IjbConfig(source=store, pairs=meta, weight_by_detector=True))
    assert scored.pairs is not None and scored.pairs.scores[0] == pytest.approx(1, abs=1e-6)


def test_the_mean_of_a_medium_counts_once():
    vectors = np.array([[1.0, 0], [0, 1], [0, 1], [0, 1]])
    assert template_vector(vectors, np.array([5, 3, 3, 3])) == pytest.approx([math.sqrt(0.5)] * 2)
    assert np.isnan(template_vector(np.array([[1.0, 0], [-1, 0]]), np.array([1, 2]))).all()


# gallery G1: subjects 1 at 0 degrees, 2 at 90; G2: 3 at 180, 4 at 270. Probes: of 1 at 10, of 2 at 50, of 3 at 200,
# of 4 at 320
SEARCH = {
    "face_tid_mid": "".join(f"{n}.jpg {n} {n}\n" for n in range(1, 9)),
    "1N_gallery_G1": "TEMPLATE_ID,SUBJECT_ID\n1,1\n2,2\n",
    "1N_gallery_G2": "TEMPLATE_ID,SUBJECT_ID\n3,3\n4,4\n",
    "1N_probe_mixed": "TEMPLATE_ID,SUBJECT_ID\n5,1\n6,2\n7,3\n8,4\n",
}
ANGLES = dict(zip(range(1, 9), (0, 90, 180, 270, 10, 50, 200, 320), strict=True))


def searched(
    make_store: MakeStore, tmp_path: Path, without: tuple[int, ...] = (), **config: object
) -> tuple[ProtocolReport, Mapping[str, Any]]:
    store = make_store({f"{n}.jpg": at_angle(d) for n, d in ANGLES.items() if n not in without})
    meta = meta_folder(tmp_path, **SEARCH)
    found = verify_protocol(IjbConfig(source=store, pairs=meta, **config))  # type: ignore[arg-type]
    assert found.identification is not None
    return found, found.identification


def test_open_set_of_each_gallery_by_hand(make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """G1: mated are the probes of 1 (10 degrees off) and of 2 (40 off, and 50 off subject 1: rank 1). Unmated: of 3,
    nearest 110 off; of 4, 40 off subject 1. At FPIR .5 one of two may find somebody, so the threshold lies just over
    cos 110, and both mated searches succeed; with none allowed it would be cos 40."""
    monkeypatch.setattr("cosface_cli.verify.protocols.ijb.searches.FPIRS", (0.5, 0.1))
    found, identification = searched(make_store, tmp_path)
    first = identification["galleries"]["G1"]
    assert (first["gallery"], first["mated"], first["unmated"], first["rank1"]) == (2, 2, 2, 1.0)
    half, tenth = first["open_set"]
    assert half["threshold"] == pytest.approx(math.cos(math.radians(110)), abs=1e-6)
    assert (half["tpir"], half["achieved_fpir"]) == (1.0, 0.5)
    assert (tenth["tpir"], tenth["unmated_needed"]) == (None, 10)
    # G2: of 3, 20 off; of 4, 50 off. Unmated: of 1, 100 off subject 4; of 2, 130 off both
    second = identification["galleries"]["G2"]
    assert second["open_set"][0]["threshold"] == pytest.approx(math.cos(math.radians(130)), abs=1e-6)
    assert (second["rank1"], second["open_set"][0]["tpir"]) == (1.0, 1.0)
    assert identification["mean"]["open_set"] == [{"fpir": 0.5, "tpir": 1.0}, {"fpir": 0.1, "tpir": None}]
    assert (found.eer, found.tar_at_far, found.pairs) == (None, (), 0)  # no pairs of templates are listed


def test_the_threshold_of_other_strangers(make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cosface_cli.verify.protocols.ijb.searches.FPIRS", (0.5,))
    monkeypatch.setitem(ANGLES, 7, 45)  # the probe of 3 looks like both of G1: its best is cos 45, of 4 cos 40
    _, identification = searched(make_store, tmp_path)
    (half,) = identification["galleries"]["G1"]["open_set"]
    assert half["threshold"] == pytest.approx(math.cos(math.radians(45)), abs=1e-6)
    assert half["tpir"] == 1.0  # mates lie 10 and 40 degrees off


def test_the_second_best_stranger_sets_the_threshold(
    make_store: MakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cosface_cli.verify.protocols.ijb.searches.FPIRS", (0.5,))
    monkeypatch.setitem(ANGLES, 7, 110)  # the strangers' best are now cos 20 and, of the one at 355, cos 5
    monkeypatch.setitem(ANGLES, 8, 355)
    _, identification = searched(make_store, tmp_path)
    (half,) = identification["galleries"]["G1"]["open_set"]
    assert half["threshold"] == pytest.approx(math.cos(math.radians(20)), abs=1e-6)
    assert half["tpir"] == 0.5  # the mate 10 degrees off reaches it, the one 40 off does not


def test_templates_without_a_face(make_store: MakeStore, tmp_path: Path):
    found, identification = searched(make_store, tmp_path, without=(2, 5))
    assert found.missing == ("template 2", "template 5") and found.details["photos_without_face"] == 2
    # probe 5 finds nobody, and nobody finds subject 2
    first = identification["galleries"]["G1"]
    assert (first["mated"], first["rank1"], first["rank5"], first["rank10"]) == (2, 0.0, 0.0, 0.0)
    assert identification["galleries"]["G2"]["unmated"] == 1


def test_templates_without_a_face_may_be_left_out(make_store: MakeStore, tmp_path: Path):
    _, identification = searched(make_store, tmp_path, without=(2, 5), missing="skip")
    assert identification["galleries"]["G1"]["mated"] == 0 and identification["galleries"]["G1"]["rank1"] is None


def test_subjects_of_the_lists_are_the_identities_of_pairs(make_store: MakeStore, tmp_path: Path):
    store = make_store({f"{n}.jpg": at_angle(d) for n, d in ANGLES.items()})
    meta = meta_folder(tmp_path, **SEARCH, template_pair_label="1 5 1\n2 6 1\n1 6 0\n3 5 0\n")
    scored, found = run_protocol(IjbConfig(source=store, pairs=meta))
    assert scored.pairs is not None and scored.pairs.identities == ("1", "2", "3", "4", "1", "2", "3", "4")
    assert found.genuine == 2 and found.identification is not None


def test_lists_that_do_not_go_together(make_store: MakeStore, tmp_path: Path):
    store = make_store({"1.jpg": at_angle(0), "2.jpg": at_angle(1)})
    meta = meta_folder(tmp_path, face_tid_mid="1.jpg 1 1\n2.jpg 2 2\n")
    with pytest.raises(CosfaceError, match="neither pairs of templates nor galleries and probes"):
        verify_protocol(IjbConfig(source=store, pairs=meta))
    (meta / "ijbc_template_pair_label.txt").write_text("1 3 0\n1 2 1\n")
    with pytest.raises(CosfaceError, match="template 3 has no photos in the list of media"):
        verify_protocol(IjbConfig(source=store, pairs=meta))
    (meta / "ijbc_face_tid_mid.txt").write_text("x.jpg 1 1\n")
    with pytest.raises(CosfaceError, match=r"none of the photos of .* exist here, such as x\.jpg"):
        verify_protocol(IjbConfig(source=store, pairs=meta))


def test_faces_are_cut_out_by_the_landmarks_given(packaged_photos: Path, tmp_path: Path):
    """The same landmarks in two photos of one face, one of them shifted: the crops, and so the vectors, agree."""
    root = tmp_path / "IJBC"
    (root / "loose_crop").mkdir(parents=True)
    with Image.open(packaged_photos / "Tom_Hanks_54745.png") as image:
        photo = image.convert("RGB")
        photo.save(root / "loose_crop" / "1.png")
        moved = Image.new("RGB", (photo.width + 30, photo.height + 20))
        moved.paste(photo, (30, 20))
        moved.save(root / "loose_crop" / "2.png")
        width, height = photo.size
    photo.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(root / "loose_crop" / "3.jpg")
    eyes = [(0.35, 0.4), (0.65, 0.4), (0.5, 0.6), (0.4, 0.75), (0.6, 0.75)]
    points = [(x * width, y * height) for x, y in eyes]

    def line(name: str, dx: float, dy: float) -> str:
        return f"{name} " + " ".join(f"{x + dx:.3f} {y + dy:.3f}" for x, y in points) + " 0.9\n"

    meta_folder(
        root,
        face_tid_mid="1.png 1 1\n2.png 2 2\n3.jpg 3 3\n",
        template_pair_label="1 2 1\n1 3 0\n",
        name_5pts_score=line("1.png", 0, 0) + line("2.png", 30, 20) + line("3.jpg", 0, 0),
    )
    scored, found = run_protocol(IjbConfig(source=root, workers=1))
    assert found.protocol == "ijb" and scored.pairs is not None
    assert scored.pairs.scores[0] > 0.9999 > scored.pairs.scores[1]
