"""Faces of every size through the reader, for every detector: 20 pixels, close-ups that the frame cuts, 8000 pixels."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from cosface_cli.artifacts import pictures
from cosface_cli.engines.detectors import Detector
from cosface_cli.engines.detectors.mtcnn.detector import open_mtcnn
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.photos.limits import Limits
from cosface_cli.engines.photos.reader import Face, Reader
from cosface_cli.maths.geometry import TEMPLATES
from tests.detector_models import MODELS, model, read

Portrait = tuple[np.ndarray, np.ndarray, np.ndarray]  # picture, box, landmarks


@pytest.fixture(scope="module", params=MODELS)
def detector(request: pytest.FixtureRequest) -> Detector:
    """As the command line opens it."""
    return open_detector(request.param if request.param == "mtcnn" else str(model(request.param)), 20)


@pytest.fixture(scope="module")
def portraits(packaged_photos: Path) -> list[Portrait]:
    """Seven one-face pictures, twice as wide as the face's box, with the box and landmarks that MTCNN finds."""
    found = []
    for name in ("Tom_Hanks_54745.png", "t1.jpg"):
        image = read(packaged_photos / name)
        faces = open_mtcnn(min_face=40).detect([image])[0]
        assert len(faces) == (6 if name == "t1.jpg" else 1)
        for box, points in zip(faces.boxes, faces.landmarks, strict=True):
            middle, half = (box[:2] + box[2:]) / 2, 0.9 * (box[3] - box[1])
            left, top = np.maximum(middle - half, 0).astype(int)
            right, bottom = (middle + half).astype(int)
            part = np.ascontiguousarray(image[top:bottom, left:right])
            found.append((part, box - [left, top, left, top], points - [left, top]))
    return found


def sized(portrait: Portrait, face: float) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a face of so many pixels, and where its landmarks are."""
    image, box, points = portrait
    grow = face / (box[3] - box[1])
    how = cv2.INTER_AREA if grow < 1 else cv2.INTER_CUBIC
    out = cv2.resize(image, None, fx=grow, fy=grow, interpolation=how)
    return out, (points + 0.5) * [out.shape[1] / image.shape[1], out.shape[0] / image.shape[0]] - 0.5


def off(face: Face, points: np.ndarray, size: float) -> float:
    """How far the landmarks lie from the true ones, in shares of the face."""
    return float(np.linalg.norm(face.landmarks - points, axis=1).mean() / size)


@pytest.mark.parametrize("size", [20, 30])
def test_small_faces(size: int, detector: Detector, portraits: list[Portrait]) -> None:
    """In pictures of twice that size; the finest of these networks places the points to about a pixel."""
    assert len(portraits) == 7
    reader = Reader(detector, TEMPLATES["wide"], limits=Limits(min_face=12))  # their boxes differ in size
    for portrait in portraits:
        image, points = sized(portrait, size)
        found, faces = reader.faces(pictures.encode_png(image), "a.png")
        assert found == 1 and off(faces[0], points, size) < 0.2


@pytest.fixture(scope="module", params=[(700, 8000), (2500, 8000)], ids=("far", "near"))
def huge(request: pytest.FixtureRequest, portraits: list[Portrait]) -> tuple[bytes, np.ndarray, int]:
    """A JPEG of 8000 x 6000 pixels, its landmarks, and the size of its face; seen at 640 pixels the far one has 56."""
    size, width = request.param
    image, points = sized(portraits[0], size)
    corner = np.array([3000, 2000])
    canvas = np.random.default_rng(0).integers(100, 140, (width * 3 // 4, width, 3), dtype=np.uint8)
    part = image[: canvas.shape[0] - corner[1], : width - corner[0]]
    canvas[corner[1] : corner[1] + part.shape[0], corner[0] : corner[0] + part.shape[1]] = part
    return pictures.encode_jpeg(canvas, 90), points + corner, size


@pytest.mark.slow
def test_a_photo_of_8000_pixels_costs_less_than_decoding_it_twice(
    detector: Detector, huge: tuple[bytes, np.ndarray, int]
) -> None:
    """CPU seconds of reading it and finding its face, beside OpenCV's for decoding it whole, in one run: on one core of
    a fast machine a photo takes less than a second."""
    content, points, size = huge
    reader = Reader(detector, TEMPLATES["wide"], "largest")
    seconds, decoding = [], []
    for _ in range(3):  # the first run sets the networks up for the size
        start = time.process_time()
        _, faces = reader.faces(content, "a.jpg")
        seconds.append(time.process_time() - start)
        start = time.process_time()
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        decoding.append(time.process_time() - start)
    assert off(faces[0], points, size) < 0.2
    assert min(seconds) < 2 * min(decoding)
