"""From photo to faces with detectors that know the answer, and with one that finds painted dots at any scale."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cosface_cli.artifacts import photos
from cosface_cli.engines.detectors import Detections, Want
from cosface_cli.engines.reader import Choice, Limits, Reader, sharpness
from cosface_cli.errors import PhotoError
from cosface_cli.maths.geometry import TEMPLATES, Template, apply, similarity

DLIB = TEMPLATES["dlib"]


class Prepared:
    """A detector that knows the answer, given in shares of the picture's width, and notes what it was shown."""

    name = "prepared"

    def __init__(self, boxes: Sequence[Sequence[float]], scores: Sequence[float] | None = None, long_side: int = 640):
        self.boxes = np.array(boxes, np.float64).reshape(-1, 4)
        self.scores = np.array(scores if scores is not None else [0.9] * len(self.boxes), np.float32)
        self.long_side = long_side
        self.seen: list[np.ndarray] = []
        self.wants: list[Want] = []

    def detect(self, images: Sequence[np.ndarray], want: Want = "all") -> list[Detections]:
        self.seen += images
        self.wants.append(want)
        return [self._found(image) for image in images]

    def _found(self, image: np.ndarray) -> Detections:
        boxes = self.boxes * image.shape[1]
        landmarks = np.stack([self.landmarks(box) for box in boxes]) if len(boxes) else np.zeros((0, 5, 2))
        return Detections(boxes.astype(np.float32), landmarks.astype(np.float32), self.scores)

    def landmarks(self, box: np.ndarray) -> np.ndarray:
        """A face as it sits in its box."""
        return box[:2] + (DLIB.landmarks / 150) * (box[2:] - box[:2])


class Seeing:
    """A detector that looks: the five dots of `dots`, told apart by their colours."""

    name = "seeing"

    def __init__(self, long_side: int):
        self.long_side = long_side
        self.seen: list[np.ndarray] = []

    def detect(self, images: Sequence[np.ndarray], want: Want = "all") -> list[Detections]:
        self.seen += images
        return [self._found(image.astype(np.float64)) for image in images]

    def _found(self, image: np.ndarray) -> Detections:
        y, x = np.mgrid[: image.shape[0], : image.shape[1]]
        points = []
        for colour in COLOURS:
            unlike = [channel for channel in range(3) if not colour[channel]]
            weight = image[:, :, [c for c in range(3) if colour[c]]].min(axis=2)
            weight = np.clip(weight - image[:, :, unlike].max(axis=2), 0, None) if unlike else weight
            weight[weight < 12] = 0
            points.append(((x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()))
        landmarks = np.array([points], np.float32)
        low, high = landmarks[0].min(axis=0), landmarks[0].max(axis=0)
        box = np.concatenate([low - (high - low) / 2, high + (high - low) / 2])
        return Detections(box[None].astype(np.float32), landmarks, np.ones(1, np.float32))


COLOURS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1))  # of eyes, nose and mouth corners


def dots(width: int, height: int, points: np.ndarray, radius: float) -> np.ndarray:
    image = np.zeros((height, width, 3), np.float32)
    reach = int(5 * radius)
    for (px, py), colour in zip(points, COLOURS, strict=True):
        left, top = max(int(px) - reach, 0), max(int(py) - reach, 0)
        part = image[top : int(py) + reach, left : int(px) + reach]
        y, x = np.mgrid[: part.shape[0], : part.shape[1]]
        dot = 255 * np.exp(-((x + left - px) ** 2 + (y + top - py) ** 2) / (2 * radius**2))
        part += dot[:, :, None] * np.array(colour)
    return np.clip(image, 0, 255).astype(np.uint8)


def centres(crop: np.ndarray, template: Template) -> np.ndarray:
    """Where the dots lie in a crop: the centre of brightness near each of the template's points."""
    found = []
    for (px, py), colour in zip(template.points, COLOURS, strict=True):
        left, top = round(px) - 6, round(py) - 6
        weight = crop[top : top + 13, left : left + 13].astype(np.float64) @ np.array(colour)
        y, x = np.mgrid[:13, :13]
        found.append((left + (x * weight).sum() / weight.sum(), top + (y * weight).sum() / weight.sum()))
    return np.array(found)


def png(image: np.ndarray) -> bytes:
    return photos.encode_png(np.ascontiguousarray(image))


def grey(width: int = 400, height: int = 300) -> bytes:
    return png(np.full((height, width, 3), 90, np.uint8))


def reason(reader: Reader, content: bytes) -> str:
    with pytest.raises(PhotoError) as caught:
        reader.faces(content, "a.jpg")
    assert str(caught.value).startswith("a.jpg: ")
    return caught.value.reason


@pytest.mark.parametrize(
    ("encode", "size"),
    (
        (png, (900, 700)),
        (photos.encode_jpeg, (900, 700)),
        (photos.encode_jpeg, (2405, 1803)),
        (photos.encode_jpeg, (1803, 2405)),
    ),
    ids=("png", "jpeg", "large", "upright"),
)
@pytest.mark.parametrize("name", ("dlib", "arcface"))
def test_dots_come_to_lie_on_the_template_at_every_scale(name: str, size: tuple[int, int], encode):
    """The large ones are decoded smaller for the detector and, for a small face, once more for the crop."""
    width, height = size
    template = TEMPLATES[name]
    for face_scale in (1.1, 3.2):
        points = (DLIB.landmarks - [75, 75]) * face_scale + [width * 0.7, height * 0.66]
        detector = Seeing(640)
        found, faces = Reader(detector, template).faces(encode(dots(width, height, points, 3.0 * face_scale)), "a.jpg")
        assert found == 1
        np.testing.assert_allclose(faces[0].landmarks, points, atol=0.6)
        crop = faces[0].crop
        assert crop.shape == (template.height, template.width, 3)
        target = template.landmarks
        if name == "arcface":  # another shape of face: the least squares leave a residue
            target = apply(similarity(points, target), points)
        wanted = Template("there", template.width, template.height, tuple(map(tuple, target)))
        np.testing.assert_allclose(centres(crop, wanted), target, atol=0.35)


def test_a_large_jpeg_is_decoded_no_larger_than_needed():
    image = np.full((2400, 3200, 3), 120, np.uint8)
    big = Prepared([[0.1, 0.1, 0.6, 0.6]], long_side=640)  # 1600 pixels: 640 are plenty for the crop
    _, faces = Reader(big, DLIB).faces(photos.encode_jpeg(image), "a.jpg")
    assert max(big.seen[0].shape) == 800  # two eighths
    np.testing.assert_allclose(faces[0].box, [320, 320, 1920, 1920], rtol=1e-3)


def test_size_and_time_and_hash_of_the_file(tmp_path: Path):
    path = tmp_path / "a.png"
    path.write_bytes(grey())
    found = Reader(Prepared([[0.2, 0.2, 0.6, 0.6]]), DLIB).read(path)
    status = path.stat()
    assert (found.size, found.mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert found.hash == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.found == 1 and len(found.faces) == 1
    with pytest.raises(PhotoError, match="no such file"):
        Reader(Prepared([]), DLIB).read(tmp_path / "none.png")


def test_turned_photos_are_looked_at_upright():
    upright = np.zeros((300, 400, 3), np.uint8)
    upright[:, :200] = (200, 0, 0)
    out = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.rot90(upright)).save(out, "PNG", exif=exif)
    detector = Prepared([[0.1, 0.1, 0.5, 0.5]])
    Reader(detector, DLIB).faces(out.getvalue(), "a.png")
    np.testing.assert_array_equal(detector.seen[0], upright)


BOXES = (  # in shares of a width of 400: a small one at the left, the largest at the right, one in the middle
    [0.05, 0.05, 0.15, 0.15],
    [0.60, 0.05, 0.95, 0.40],
    [0.40, 0.28, 0.60, 0.48],
)


@pytest.mark.parametrize(("choice", "want"), (("largest", [1]), ("center", [2]), ("all", [0, 2, 1])))
def test_which_faces_are_chosen(choice: Choice, want: list[int]):
    detector = Prepared(BOXES, [0.99, 0.5, 0.7])
    found, faces = Reader(detector, DLIB, choice).faces(grey(), "a.png")
    assert found == 3
    np.testing.assert_allclose([face.box for face in faces], [np.array(BOXES[n]) * 400 for n in want], rtol=1e-5)
    np.testing.assert_allclose([face.score for face in faces], [[0.99, 0.5, 0.7][n] for n in want], rtol=1e-6)
    assert detector.wants == [choice]


def test_a_box_over_the_edge_counts_by_what_is_visible():
    """Of 200 x 200 only 40 x 200 lie in the picture; the other has 100 x 100."""
    _, faces = Reader(Prepared([[-0.4, 0.1, 0.1, 0.6], [0.5, 0.1, 0.75, 0.35]]), DLIB).faces(grey(), "a.png")
    assert faces[0].box[0] == pytest.approx(200)


def test_limits_are_in_pixels_of_the_photo_and_named():
    boxes = [[0.1, 0.1, 0.2, 0.2], [0.5, 0.1, 0.6, 0.2]]  # 40 pixels of 400
    assert reason(Reader(Prepared([]), DLIB), grey()) == "no_face"
    assert reason(Reader(Prepared(boxes), DLIB, limits=Limits(min_face=41)), grey()) == "too_small"
    assert len(Reader(Prepared(boxes), DLIB, "all", Limits(min_face=40)).faces(grey(), "a")[1]) == 2
    low = Reader(Prepared(boxes, [0.6, 0.7]), DLIB, "all", Limits(min_score=0.65))
    _, faces = low.faces(grey(), "a.png")
    assert [round(face.score, 2) for face in faces] == [0.7]
    assert reason(Reader(Prepared(boxes, [0.6, 0.6]), DLIB, limits=Limits(min_score=0.65)), grey()) == "low_score"
    assert reason(Reader(Prepared(boxes), DLIB, limits=Limits(max_megapixels=0.1)), grey()) == "too_large"
    with pytest.raises(PhotoError, match="largest face has 40 pixels, below the limit of 41; lower --min-face"):
        Reader(Prepared(boxes), DLIB, limits=Limits(min_face=41)).faces(grey(), "a.png")


def test_a_small_decode_does_not_shrink_the_limit():
    """40 of 3200 pixels, seen at 800: still 40."""
    image = photos.encode_jpeg(np.full((2400, 3200, 3), 120, np.uint8))
    face = [[0.1, 0.1, 0.1125, 0.1125]]
    assert len(Reader(Prepared(face), DLIB, limits=Limits(min_face=39)).faces(image, "a")[1]) == 1
    assert reason(Reader(Prepared(face), DLIB, limits=Limits(min_face=41)), image) == "too_small"


class Degenerate(Prepared):
    """Every second face has its landmarks on a line."""

    def landmarks(self, box: np.ndarray) -> np.ndarray:
        points = super().landmarks(box)
        if box[0] < 200:
            points[:, 1] = points[0, 1]
        return points


def test_degenerate_landmarks_are_rejected_never_warped():
    boxes = [[0.1, 0.1, 0.3, 0.3], [0.6, 0.1, 0.8, 0.3]]
    _, faces = Reader(Degenerate(boxes), DLIB, "all").faces(grey(), "a.png")
    assert len(faces) == 1 and faces[0].box[0] == pytest.approx(240)
    assert reason(Reader(Degenerate(boxes[:1]), DLIB), grey()) == "bad_landmarks"
    not_a_number = Prepared(boxes[:1])
    not_a_number.landmarks = lambda box: np.full((5, 2), np.nan)  # type: ignore[method-assign]
    assert reason(Reader(not_a_number, DLIB), grey()) == "bad_landmarks"


def test_quality():
    _, faces = Reader(Prepared([[0.1, 0.1, 0.3, 0.25]]), DLIB).faces(grey(), "a.png")
    assert faces[0].quality == {"face_px": 80.0, "sharpness": 0.0}
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    image = np.repeat(noise[:, :, None], 3, axis=2)
    wide = np.pad(noise.astype(np.float64), 1, mode="reflect")
    laplacian = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]
    assert sharpness(image) == pytest.approx(laplacian.var(), rel=1e-5)


def test_broken_content_is_the_photo_s_fault():
    assert reason(Reader(Prepared([[0.1, 0.1, 0.3, 0.3]]), DLIB), b"no photo at all") == "unsupported_format"
    jpeg = photos.encode_jpeg(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    assert reason(Reader(Prepared([[0.1, 0.1, 0.3, 0.3]]), DLIB), jpeg[:-900]) == "truncated"
