"""Copies of one photograph, made here in the usual ways, against photographs of other moments."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.photos.copy_detection import copy_kind, face_thumbnail
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.reader import Reader
from cosface_cli.maths.geometry import TEMPLATES, template


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(open_detector("mtcnn", 40), template("wide"), "all", Limits(min_face=40, min_score=0.98))


def faces(reader: Reader, image: np.ndarray, quality: int = 95) -> list[np.ndarray]:
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return [face_thumbnail(face.crop, reader.template) for face in reader.faces(content, "photo")[1]]


@pytest.fixture(scope="module")
def group(packaged_photos: Path) -> np.ndarray:
    """Six people in one photo."""
    return cv2.imread(str(packaged_photos / "t1.jpg"))


@pytest.mark.slow
def test_copies_of_each_kind(reader: Reader, group: np.ndarray) -> None:
    """Nearly every face of the group finds itself in the copy, as what it is there."""
    first = faces(reader, group)
    assert len(first) >= 5
    height, width = group.shape[:2]
    smaller = cv2.resize(group, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    cut = group[int(0.05 * height) :, : int(0.97 * width)]
    copies = {
        "smaller, saved worse": (smaller, 40, "copy"),
        "cut, brighter": (cv2.convertScaleAbs(cut, alpha=1.2, beta=10), 95, "copy"),
        "mirrored": (np.ascontiguousarray(group[:, ::-1]), 95, "mirror"),
    }
    for kind, (image, quality, expected) in copies.items():
        others = faces(reader, image, quality)
        found = [{copy_kind(one, other) for other in others} - {None} for one in first]
        assert found.count({expected}) >= len(first) - 1, (kind, found)


def test_other_people_are_no_copies(reader: Reader, group: np.ndarray) -> None:
    first = faces(reader, group)
    assert all(copy_kind(a, b) is None for i, a in enumerate(first) for b in first[i + 1 :])


def test_other_photos_of_one_person_are_no_copies(reader: Reader, shared: Path) -> None:
    """Photos of CelebA people; a few of its photos are in it twice, so two people without such are taken."""
    found = []
    for person in ("7201", "7202"):
        photos = sorted((shared / "data" / "celeba" / person).iterdir())[:6]
        looks = [faces(reader, cv2.imread(str(photo)))[0] for photo in photos]
        found += [copy_kind(a, b) for i, a in enumerate(looks) for b in looks[i + 1 :]]
    assert len(found) == 30 and not any(found)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_thumbnail_is_the_same_from_every_template(name: str, packaged_photos: Path) -> None:
    content = (packaged_photos / "Tom_Hanks_54745.png").read_bytes()
    looks = []
    for need in ("wide", name):
        one = Reader(open_detector("mtcnn", 20), template(need))
        looks.append(face_thumbnail(one.faces(content, "photo")[1][0].crop, template(need)).astype(int))
    assert np.abs(looks[0] - looks[1]).mean() < 6 and copy_kind(*(v.astype(np.uint8) for v in looks)) == "copy"


def test_pictures_of_one_colour_are_no_copies() -> None:
    grey = np.full((40, 40), 90, np.uint8)
    assert copy_kind(grey, grey) is None and copy_kind(grey, np.zeros_like(grey)) is None
