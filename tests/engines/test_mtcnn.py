"""MTCNN against facenet-pytorch's own code and weights, torch's operators, and faces that people marked."""

from __future__ import annotations

import os
import pickle
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from facenet_reference import Facenet, package_folder
from lz4.frame import decompress

from cosface_cli.engines.detectors import Detections
from cosface_cli.engines.detectors.mtcnn import boxes as mtcnn_boxes
from cosface_cli.engines.detectors.mtcnn.detector import MTCNN, open_mtcnn
from cosface_cli.engines.detectors.mtcnn.resize import AdaptiveResizer, AreaResizer
from cosface_cli.engines.detectors.mtcnn.wheel_weights import SOURCES, graph, named, read_arrays, tensors

NETS = list(SOURCES)


@pytest.fixture(scope="module")
def facenet() -> Facenet:
    if package_folder() is None:
        pytest.skip("needs pip install --no-deps facenet-pytorch==2.6.0")
    torch.set_num_threads(1)
    return Facenet()


@pytest.fixture(scope="module")
def detector() -> MTCNN:
    return open_mtcnn()


@pytest.fixture(scope="module")
def group_detector() -> MTCNN:
    """On the photo of six people, MTCNN takes a hand for a face of 50 pixels."""
    return open_mtcnn(min_face=40)


@pytest.fixture(scope="module")
def adaptive() -> MTCNN:
    return open_mtcnn(resize="adaptive")


def read(path: Path) -> np.ndarray:
    return np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def largest(found: Detections) -> int:
    return int((found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1).argmax())


def iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


# ---- weights


@pytest.mark.parametrize("net", NETS)
def test_parameters_are_facenets_to_the_bit(net: str, facenet: Facenet) -> None:
    theirs = {f"{net}.{name}": value.numpy() for name, value in facenet.nets[net].state_dict().items()}
    ours = {name: value for name, value in tensors().items() if name.startswith(net)}
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_array_equal(ours[name], value, name)


@pytest.mark.parametrize(
    ("net", "shape"),
    [
        ("pnet", (2, 3, 75, 53)),
        ("pnet", (1, 3, 12, 12)),
        ("pnet", (1, 3, 13, 30)),
        ("rnet", (5, 3, 24, 24)),
        ("onet", (5, 3, 48, 48)),
    ],
)
def test_graphs_compute_what_facenets_networks_do(net: str, shape: tuple[int, ...], facenet: Facenet) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    with torch.no_grad():
        *others, classes = (value.numpy() for value in facenet.nets[net](torch.from_numpy(x)))
    session = onnxruntime.InferenceSession(str(graph(net)), providers=["CPUExecutionProvider"])  # type: ignore[arg-type]
    prob, *rest = session.run(None, {"x": x})
    np.testing.assert_allclose(prob, classes[:, 1:], atol=1e-5)
    for ours, theirs in zip(rest, others, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def wheel_bytes(net: str) -> bytes:
    spec = find_spec("mtcnn")
    assert spec is not None and spec.submodule_search_locations
    return decompress((Path(spec.submodule_search_locations[0]) / f"assets/weights/{net}.lz4").read_bytes())


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch hostile",)


def test_pickles_are_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        read_arrays(pickle.dumps([Hostile()]))
    assert not (tmp_path / "hostile").exists()


def test_only_whole_float32_arrays_are_read() -> None:
    content = wheel_bytes("pnet")
    assert len(read_arrays(content)) == 13
    with pytest.raises(pickle.UnpicklingError, match="float32"):
        read_arrays(content.replace(b"\x8c\x02f4\x94", b"\x8c\x02f8\x94", 1))
    with pytest.raises(pickle.UnpicklingError, match="float32"):
        read_arrays(content.replace(b"\x8c\x01<\x94", b"\x8c\x01>\x94", 1))
    with pytest.raises(pickle.UnpicklingError, match="float32"):
        read_arrays(content[:500])
    with pytest.raises(pickle.UnpicklingError, match="list"):
        read_arrays(pickle.dumps({"a": 1}))


def test_an_array_too_many_is_noticed() -> None:
    arrays = read_arrays(wheel_bytes("pnet"))
    with pytest.raises(ValueError, match="more arrays"):
        named("pnet", [*arrays, arrays[0]])


# ---- resizing and box arithmetic against torch


@pytest.mark.parametrize("size", [(37, 53), (12, 12), (1, 1), (120, 200)])
def test_adaptive_level_is_torchs_area(size: tuple[int, int]) -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 131, 3), dtype=np.uint8)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    theirs = (torch.nn.functional.interpolate(tensor, size=size, mode="area") - 127.5) / 128
    np.testing.assert_allclose(AdaptiveResizer(image).level(*size), theirs.numpy(), atol=1e-5)


def test_adaptive_crops_are_torchs_area() -> None:
    image = np.random.default_rng(2).integers(0, 256, (90, 131, 3), dtype=np.uint8)
    cuts = np.array([[0, 0, 131, 90], [3, 5, 20, 17], [130, 89, 131, 90], [10, 0, 90, 90]])
    ours = AdaptiveResizer(image).crops(cuts, 24)
    for mine, (left, top, right, bottom) in zip(ours, cuts, strict=True):
        tensor = torch.from_numpy(image[top:bottom, left:right].copy()).permute(2, 0, 1)[None].float()
        theirs = (torch.nn.functional.interpolate(tensor, size=(24, 24), mode="area") - 127.5) / 128
        np.testing.assert_allclose(mine, theirs[0].numpy(), atol=1e-5)


def test_area_keeps_places_and_brightness() -> None:
    """A ramp stays the same ramp, sampled at the new pixels' centres, through every halving."""
    rows, columns = np.mgrid[0:240, 0:320]
    image = np.stack([columns * 0.75, rows, np.full_like(rows, 77)], axis=-1).round().astype(np.uint8)
    resizer = AreaResizer(image)
    for height, width in ((200, 270), (100, 130), (30, 41)):
        planes = resizer.level(height, width)[0] * 128 + 127.5
        centres = (np.arange(width) + 0.5) * 320 / width - 0.5, (np.arange(height) + 0.5) * 240 / height - 0.5
        np.testing.assert_allclose(planes[0][height // 2, 1:-1], centres[0][1:-1] * 0.75, atol=1.5)
        np.testing.assert_allclose(planes[1][1:-1, width // 2], centres[1][1:-1], atol=1.5)
        np.testing.assert_allclose(planes[2], 77, atol=0.5)
    cut = np.array([[40, 60, 240, 180]])
    crop = resizer.crops(cut, 24)[0] * 128 + 127.5
    np.testing.assert_allclose(crop[0][12, 1:-1], (40 + (np.arange(24) + 0.5) * 200 / 24 - 0.5)[1:-1] * 0.75, atol=1.5)
    np.testing.assert_allclose(crop[1][1:-1, 12], (60 + (np.arange(24) + 0.5) * 120 / 24 - 0.5)[1:-1], atol=1.5)


def test_suppression_keeps_the_better_of_two() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [2, 2, 5, 5]], np.float32)
    scores = np.array([0.7, 0.9, 0.8, 0.95], np.float32)
    assert mtcnn_boxes.suppress(boxes, scores, 0.5).tolist() == [3, 1, 2]  # 9 / 11 overlap; 9 / 100 does not count
    assert mtcnn_boxes.suppress_nested(boxes, scores, 0.5).tolist() == [3, 2]  # 16 of 16 pixels lie within both
    assert mtcnn_boxes.suppress(boxes, scores, 0.9).tolist() == [3, 1, 2, 0]


# ---- the whole detector


def faces_apart(
    detector: MTCNN, facenet: Facenet, images: list[np.ndarray]
) -> tuple[int, int, list[float], list[float]]:
    """Their faces, how many of them are ours, and by how many pixels boxes, and landmarks by which share, differ."""
    theirs_count, matched, boxes_off, points_off = 0, 0, [], []
    for image in images:
        boxes, points = facenet.detect(image)
        ours = detector.detect([image])[0]
        theirs_count += len(boxes)
        for box, point in zip(boxes[:, :4], points, strict=True):
            overlaps = [iou(box, other) for other in ours.boxes]
            if not overlaps or max(overlaps) < 0.5:
                continue
            i = int(np.argmax(overlaps))
            matched += 1
            boxes_off.append(float(np.abs(ours.boxes[i] - box).max()))
            points_off.append(float(np.linalg.norm(ours.landmarks[i] - point, axis=1).max() / (box[2] - box[0])))
    return theirs_count, matched, boxes_off, points_off


def test_six_faces_as_facenet_finds_them(adaptive: MTCNN, facenet: Facenet, packaged_photos: Path) -> None:
    count, matched, boxes_off, points_off = faces_apart(adaptive, facenet, [read(packaged_photos / "t1.jpg")])
    assert count == matched == 8  # six people and two mistakes, the same ones
    assert max(boxes_off) < 1 and max(points_off) < 0.01


def test_photos_as_facenet_finds_them(adaptive: MTCNN, facenet: Facenet, shared: Path) -> None:
    images = [read(path) for path in sorted((shared / "data" / "photos").iterdir())[::8]]
    count, matched, boxes_off, points_off = faces_apart(adaptive, facenet, images)
    assert count >= 19 and matched >= count - 1
    assert max(boxes_off) < 1 and max(points_off) < 0.01


def test_area_finds_the_same_faces(group_detector: MTCNN, packaged_photos: Path) -> None:
    image = read(packaged_photos / "t1.jpg")
    adaptive = open_mtcnn(min_face=40, resize="adaptive")
    fast, exact = group_detector.detect([image])[0], adaptive.detect([image])[0]
    assert len(fast) == len(exact) == 6
    for box, points in zip(fast.boxes, fast.landmarks, strict=True):
        i = int(np.argmax([iou(box, other) for other in exact.boxes]))
        assert iou(box, exact.boxes[i]) > 0.7
        assert np.linalg.norm(points - exact.landmarks[i], axis=1).mean() < 0.05 * (box[2] - box[0])
    assert group_detector.name != adaptive.name


def test_best_score_comes_first(detector: MTCNN, packaged_photos: Path) -> None:
    scores = detector.detect([read(packaged_photos / "t1.jpg")])[0].scores
    assert (np.diff(scores) <= 0).all() and 0.7 < scores[-1] <= scores[0] <= 1


def agreement(detector: MTCNN, images: list[np.ndarray]) -> tuple[int, int]:
    same = faces = 0
    for image in images:
        quick, full = (detector.detect([image], want)[0] for want in ("largest", "all"))  # type: ignore[arg-type]
        if not len(full):
            continue
        faces += 1
        if len(quick):
            i, j = largest(quick), largest(full)
            side = full.boxes[j, 2] - full.boxes[j, 0]
            near = np.linalg.norm(quick.landmarks[i] - full.landmarks[j], axis=1).mean() < 0.1 * side
            same += iou(quick.boxes[i], full.boxes[j]) > 0.7 and bool(near)
    return same, faces


def test_the_largest_face_is_that_of_the_full_walk(detector: MTCNN, shared: Path) -> None:
    photos = [read(path) for path in sorted((shared / "data" / "photos").iterdir())[::5]]
    people = [read(path) for path in sorted((shared / "data" / "celeba").glob("*/*"))[3::40]]
    same, faces = agreement(detector, photos + people)
    assert faces >= 185 and same >= 0.99 * faces


def test_largest_skips_levels(group_detector: MTCNN, packaged_photos: Path) -> None:
    """Six faces of nearly one size, then the same beside one three times as large."""
    image = read(packaged_photos / "t1.jpg")
    every = group_detector.detect([image])[0]
    left, top, right, bottom = every.boxes[largest(every)].astype(int)
    face = image[max(top - 40, 0) : bottom + 40, left - 40 : right + 40]
    big = cv2.resize(face, None, fx=3, fy=3)
    both = np.zeros((max(len(image), len(big)), image.shape[1] + big.shape[1], 3), np.uint8)
    both[: len(image), : image.shape[1]] = image
    both[: len(big), image.shape[1] :] = big
    quick, full = group_detector.detect([both], "largest")[0], group_detector.detect([both])[0]
    assert len(full) >= 7 and len(quick) == 1  # the six never came up
    assert iou(quick.boxes[0], full.boxes[largest(full)]) > 0.7


def test_faces_that_people_marked(detector: MTCNN, shared: Path) -> None:
    """dlib's example photos: all of the 43 faces of at least 37 pixels, and nobody on the picture of dogs."""
    from xml.etree import ElementTree

    folder = shared / "data" / "dlib_faces"
    marked = found = 0
    for listing in ("training.xml", "testing.xml"):
        for photo in ElementTree.parse(folder / listing).getroot().iter("image"):
            boxes = detector.detect([read(folder / photo.attrib["file"])])[0].boxes
            for box in photo.iter("box"):
                left, top, width, height = (int(box.attrib[key]) for key in ("left", "top", "width", "height"))
                truth = np.array([left, top, left + width, top + height])
                marked += 1
                found += any(iou(truth, other) > 0.3 for other in boxes)
    assert marked == 43 and found >= 42
    dogs = read(folder / "dogs.jpg")
    assert not len(detector.detect([dogs])[0]) and not len(detector.detect([dogs], "largest")[0])


@pytest.mark.parametrize("degrees", [-15, 15])
def test_tilted_heads_are_found(degrees: int, group_detector: MTCNN, packaged_photos: Path) -> None:
    image = read(packaged_photos / "t1.jpg")
    turn = cv2.getRotationMatrix2D((image.shape[1] / 2, image.shape[0] / 2), degrees, 0.8)
    upright = group_detector.detect([image])[0]
    turned = group_detector.detect([cv2.warpAffine(image, turn, image.shape[1::-1])])[0]
    assert len(turned) == 6
    for points in upright.landmarks @ turn[:, :2].T + turn[:, 2]:
        gaps = np.linalg.norm(turned.landmarks - points, axis=2).mean(axis=1)
        assert gaps.min() < 0.25 * np.linalg.norm(points[0] - points[4])


def test_min_face_sets_the_finest_level(packaged_photos: Path) -> None:
    image = cv2.resize(read(packaged_photos / "t1.jpg"), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    small, large = open_mtcnn(min_face=12).detect([image])[0], open_mtcnn(min_face=100).detect([image])[0]
    assert len(small) == 6 and not len(large)


def test_factor_and_thresholds_matter(packaged_photos: Path) -> None:
    image = read(packaged_photos / "t1.jpg")
    usual = open_mtcnn(min_face=40).detect([image])[0]
    assert not np.array_equal(open_mtcnn(min_face=40, factor=0.5).detect([image])[0].boxes, usual.boxes)
    for strict in ((0.99999, 0.7, 0.7), (0.6, 0.99999, 0.7), (0.6, 0.7, 0.9999)):
        assert len(open_mtcnn(min_face=40, thresholds=strict).detect([image])[0]) < 6


@pytest.mark.parametrize("wrong", [{"min_face": 5}, {"factor": 1.0}, {"long_side": 0}, {"resize": "cubic"}])
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="out of range"):
        open_mtcnn(**wrong)  # type: ignore[arg-type]


def test_large_pictures_are_shrunk_and_boxes_grow_back(group_detector: MTCNN, packaged_photos: Path) -> None:
    image = read(packaged_photos / "t1.jpg")
    huge = cv2.resize(image, None, fx=4, fy=4)
    assert max(huge.shape) > 4 * 1000
    expected, found = group_detector.detect([image])[0], open_mtcnn(min_face=160).detect([huge])[0]
    assert len(found) == 6
    for points in expected.landmarks:
        gaps = np.linalg.norm((found.landmarks + 0.5) / 4 - 0.5 - points, axis=2).mean(axis=1)
        assert gaps.min() < 0.1 * np.linalg.norm(points[0] - points[4])


def test_faces_beside_one_that_the_frame_cuts_are_kept(group_detector: MTCNN, packaged_photos: Path) -> None:
    """The second look, for the large one, must not lose the small ones of the first."""
    image = read(packaged_photos / "t1.jpg")
    box = group_detector.detect([image])[0].boxes[0]
    middle, half = (box[:2] + box[2:]) / 2, 0.8 * (box[2:] - box[:2]) / 2
    (left, top), (right, bottom) = (middle - half).astype(int), (middle + half).astype(int)
    width = len(image) * (right - left) // (bottom - top)
    close = cv2.resize(image[top:bottom, left:right], (width, len(image)))
    found = group_detector.detect([np.concatenate([close, image], axis=1)])[0]
    sides = found.boxes[:, 2] - found.boxes[:, 0]
    assert (sides > width).sum() == 1 and (sides < 150).sum() == 6
    points = found.landmarks[sides > width][0]
    truth = (group_detector.detect([image])[0].landmarks[0] - [left, top]) * (width / (right - left))
    assert np.linalg.norm(points - truth, axis=1).mean() < 0.15 * width
