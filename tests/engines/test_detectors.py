"""What holds for every detector, and which one a word or a file opens."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from cosface_cli.artifacts.files.hashing import file_sha256
from cosface_cli.engines.detectors import DETECTORS, Detector
from cosface_cli.engines.detectors.mtcnn.detector import open_mtcnn
from cosface_cli.engines.detectors.open_detector import open_detector
from cosface_cli.engines.detectors.scrfd import open_insightface
from cosface_cli.engines.detectors.yunet import open_yunet
from cosface_cli.errors import CosfaceError
from tests.detector_models import MODELS, model, read


@pytest.fixture(scope="module", params=MODELS)
def detector(request: pytest.FixtureRequest) -> Detector:
    # 40: below, MTCNN takes a hand in the photo of six people for a face
    return open_mtcnn(min_face=40) if request.param == "mtcnn" else open_detector(str(model(request.param)), 20)


@pytest.fixture(scope="module")
def group(packaged_photos: Path) -> np.ndarray:
    return read(packaged_photos / "t1.jpg")


def test_six_faces_with_landmarks_in_our_order(detector: Detector, group: np.ndarray) -> None:
    found = detector.detect([group])[0]
    assert len(found) == 6
    assert (found.boxes.dtype, found.landmarks.dtype, found.scores.dtype) == (np.float32,) * 3
    for box, points in zip(found.boxes, found.landmarks, strict=True):
        left_eye, right_eye, nose, left_mouth, right_mouth = points
        assert left_eye[0] < right_eye[0] and left_mouth[0] < right_mouth[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
        assert (box[:2] < points.min(axis=0)).all() and (points.max(axis=0) < box[2:]).all()


def test_a_mirrored_picture_has_mirrored_landmarks(detector: Detector, group: np.ndarray) -> None:
    plain, mirrored = detector.detect([group, np.ascontiguousarray(group[:, ::-1])])
    assert len(plain) == len(mirrored) == 6
    back = mirrored.landmarks[:, [1, 0, 2, 4, 3]] * np.float32([-1, 1]) + np.float32([group.shape[1] - 1, 0])
    for points in plain.landmarks:
        gaps = np.linalg.norm(back - points, axis=2).mean(axis=1)
        assert gaps.min() < 0.15 * np.linalg.norm(points[0] - points[4])


def test_red_is_red(detector: Detector, packaged_photos: Path) -> None:
    """The networks know the colour of skin: with red and blue swapped, none is as sure."""
    images = [read(path) for path in sorted(packaged_photos.glob("*.*g"))]
    swapped = [np.ascontiguousarray(image[..., ::-1]) for image in images]
    right, wrong = (sum(float(f.scores.sum()) for f in detector.detect(batch)) for batch in (images, swapped))
    assert right > wrong


def test_pictures_of_any_size_in_one_call(detector: Detector, group: np.ndarray) -> None:
    tall = np.ascontiguousarray(group[:, :400])
    alone = [detector.detect([image])[0] for image in (group, tall)]
    together = detector.detect([group, tall, np.zeros((7, 5, 3), np.uint8), np.zeros((0, 9, 3), np.uint8)])
    assert [len(found) for found in together] == [6, len(alone[1]), 0, 0]
    for one, other in zip(alone, together, strict=False):
        np.testing.assert_array_equal(one.boxes, other.boxes)


@pytest.mark.parametrize("shape", [(1, 1, 3), (11, 11, 3), (1, 900, 3), (3000, 2, 3), (13, 400, 3)])
def test_small_pictures_and_strips_have_no_faces(shape: tuple[int, ...], detector: Detector) -> None:
    assert not len(detector.detect([np.full(shape, 128, np.uint8)])[0])
    assert detector.detect([np.full(shape, 128, np.uint8)], "largest")[0].landmarks.shape == (0, 5, 2)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((50, 50, 3), np.uint16), np.zeros((50, 50), np.uint8), np.zeros((50, 50, 4), np.uint8), "photo.jpg"],
    ids=["uint16", "grey", "alpha", "path"],
)
def test_what_is_no_rgb_picture_is_refused(wrong: np.ndarray, detector: Detector) -> None:
    with pytest.raises(ValueError, match="RGB uint8"):
        detector.detect([wrong])


@pytest.mark.parametrize("long_side", [400, 1600])
@pytest.mark.parametrize("share", [1.15, 1.0, 0.9])
def test_a_face_that_fills_the_frame(share: float, long_side: int, detector: Detector, packaged_photos: Path) -> None:
    """share: of the face's box that the frame shows, down to where it cuts the chin and the forehead off."""
    image = read(packaged_photos / "Tom_Hanks_54745.png")
    framed = cv2.copyMakeBorder(image, 60, 60, 60, 60, cv2.BORDER_REFLECT)
    found = open_detector("mtcnn", 20).detect([framed], "largest")[0]
    box, points = found.boxes[0], found.landmarks[0]
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * share
    (left, top), (right, bottom) = (middle - half).round().astype(int), (middle + half).round().astype(int)
    grow = long_side / max(right - left, bottom - top)
    close = cv2.resize(framed[top:bottom, left:right], None, fx=grow, fy=grow, interpolation=cv2.INTER_CUBIC)
    faces = detector.detect([close], "largest")[0]
    assert len(faces) == 1
    expected = (points - [left, top]) * grow
    assert np.linalg.norm(faces.landmarks[0] - expected, axis=1).mean() < 0.1 * long_side


def test_names_carry_the_weights_checksum() -> None:
    path = model("yunet_n_dynamic.onnx")
    assert open_detector(str(path), 20).name == f"yunet-{file_sha256(path)[:8]}"
    path = model("scrfd_500m_kps.onnx")
    assert open_detector(str(path), 20).name == f"scrfd-{file_sha256(path)[:8]}"


def test_options_of_yunet_matter(group: np.ndarray) -> None:
    path = model("yunet_n_dynamic.onnx")
    assert len(open_yunet(path, score=0.95).detect([group])[0]) < 6
    assert len(open_yunet(path, overlap=1.0).detect([group])[0]) > 6
    assert not np.array_equal(
        open_yunet(path, long_side=320).detect([group])[0].boxes, open_yunet(path).detect([group])[0].boxes
    )


def test_options_of_scrfd_matter(group: np.ndarray) -> None:
    assert len(open_insightface(model("scrfd_500m_kps.onnx"), score=0.9).detect([group])[0]) < 6


def test_opening_says_nothing_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    open_detector(str(model("yunet_n_640_640.onnx")), 20)
    open_detector(str(model("scrfd_500m_kps.onnx")), 20)
    assert capfd.readouterr() == ("", "")


def test_a_word_that_is_no_detector() -> None:
    with pytest.raises(CosfaceError, match="no detector is called 'mtcn'; did you mean 'mtcnn'"):
        open_detector("mtcn", 20)
    for row in DETECTORS:
        if DETECTORS.load(row.name).open_packaged is None:
            with pytest.raises(CosfaceError, match="--detector PATH"):
                open_detector(row.name, 20)


def test_a_file_that_is_no_detector(tmp_path: Path) -> None:
    with pytest.raises(CosfaceError, match=r"gone\.onnx: no such file"):
        open_detector(str(tmp_path / "gone.onnx"), 20)
    with pytest.raises(CosfaceError, match="not a file"):
        open_detector(str(tmp_path), 20)
    for content in (b"", b"no model", bytes(1000)):
        (tmp_path / "odd.onnx").write_bytes(content)
        with pytest.raises(CosfaceError, match=r"odd\.onnx: ONNX Runtime cannot read this") as caught:
            open_detector(str(tmp_path / "odd.onnx"), 20)
        assert "\n" not in str(caught.value)


def test_an_embedder_is_no_detector() -> None:
    with pytest.raises(
        CosfaceError,
        match=r"not a supported detector \(yunet, scrfd, retinaface\): .*input\[1,3,112,112\], .*output\[1,128\]",
    ):
        open_detector(str(model("mobilefacenet_diandianti.onnx")), 20)


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    whole = model("yunet_n_dynamic.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CosfaceError, match=r"cut\.onnx: ONNX Runtime cannot read this"):
        open_detector(str(tmp_path / "cut.onnx"), 20)


def test_tiny_min_face_is_what_the_window_allows(group: np.ndarray) -> None:
    small = cv2.resize(group, None, fx=0.2, fy=0.2, interpolation=cv2.INTER_AREA)  # faces of 20 to 28 pixels
    assert len(open_detector("mtcnn", 0).detect([small])[0]) > len(open_mtcnn(min_face=30).detect([small])[0])


def test_yunet_equals_opencvs_own(shared: Path) -> None:
    path = model("yunet_n_dynamic.onnx")
    ours = open_yunet(path)
    theirs = cv2.FaceDetectorYN.create(str(path), "", (320, 320), 0.6, 0.3, 5000)
    compared = 0
    for photo in sorted((shared / "data" / "photos").glob("*.jpg"))[:15]:
        picture = cv2.imread(str(photo))
        grow = 600 / max(picture.shape[:2])
        picture = cv2.resize(picture, (round(picture.shape[1] * grow), round(picture.shape[0] * grow)))
        theirs.setInputSize(picture.shape[1::-1])
        rows = theirs.detect(picture)[1]
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]
        (found,) = ours.detect([np.ascontiguousarray(picture[:, :, ::-1])])
        assert len(found) == len(rows), photo.name
        assert np.abs(found.landmarks.reshape(-1, 10) - rows[:, 4:14]).max() < 0.01
        assert np.abs(found.boxes[:, 2:] - found.boxes[:, :2] - rows[:, 2:4]).max() < 0.01
        assert np.abs(found.scores - rows[:, 14]).max() < 1e-4
        compared += len(rows)
    assert compared >= 15


def test_yunets_glance_finds_the_largest_face_of_the_whole_look(shared: Path) -> None:
    detector = open_yunet(model("yunet_n_dynamic.onnx"))
    agree = total = 0
    for photo in sorted((shared / "data" / "photos").glob("*.jpg"))[::3]:
        picture = cv2.imread(str(photo))[:, :, ::-1]
        (glance,), (whole,) = detector.detect([picture], "largest"), detector.detect([picture], "all")
        assert len(glance) and len(whole), photo.name
        largest = [
            found.boxes[np.prod(found.boxes[:, 2:] - found.boxes[:, :2], axis=1).argmax()] for found in (glance, whole)
        ]
        side = largest[1][2] - largest[1][0]
        agree += bool(np.abs(largest[0] - largest[1]).max() < 0.2 * side)
        total += 1
    assert agree >= 0.95 * total
